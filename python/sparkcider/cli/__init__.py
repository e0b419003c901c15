"""The command ``sparkcider``: run, demo, doctor.

Exit codes: 0 well; 1 something failed; 2 the command itself is wrong (an option, a path, a model's file); 3 more images
failed than --max-error-rate allows; 130 stopped by Ctrl-C.
"""

from __future__ import annotations

import argparse
import re
import sys
import traceback
from typing import TYPE_CHECKING

import sparkcider
from sparkcider.cli import models, nearest, report, run

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    Args:
        arguments: The words after ``sparkcider``; ``None``: those of this process.

    Returns:
        0, 1 or 2, as the module says.

    Example:
        >>> main(["run", "--input", "in", "--output", "out", "--model", "pixels", "--pca-variance", "2"])
        2
    """
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as stop:  # argparse's way out, after --help and after a wrong option
        return stop.code if isinstance(stop.code, int) else 2
    options.own_process = arguments is None
    try:
        code: int = options.command(options)
    except KeyboardInterrupt:
        print("sparkcider: stopped", file=sys.stderr)
        return 130
    except Exception as error:  # noqa: BLE001 - the last stop before the user
        if options.verbose:
            traceback.print_exc()
        print(f"sparkcider: {explain(error)}", file=sys.stderr)
        if type(error).__name__ == "TooManyErrorsError":  # the job is imported by the commands that need it
            return 3
        return 2 if isinstance(error, (ValueError, TypeError, FileNotFoundError, FileExistsError)) else 1
    return code


def explain(error: BaseException) -> str:
    """The one line of an exception that says the cause: Spark wraps it in stack traces of two languages."""
    text = str(error).strip() or type(error).__name__
    if "JAVA_GATEWAY_EXITED" in text or "JAVA_HOME" in text:
        return "Java does not start, and Spark needs it; `sparkcider doctor` says what is missing"
    raised = re.findall(r"^(?:[\w.]+\.)?\w+(?:Error|Exception): (.+)$", text, re.MULTILINE)
    if "Traceback (most recent call last)" in text and raised:
        return str(raised[-1])
    lines = [line.strip() for line in text.splitlines()]
    if lines[0].startswith("An error occurred while calling") and len(lines) > 1:
        return lines[1].removeprefix(": ")
    return lines[0]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="sparkcider", description="Image embeddings and PCA, on Spark or without.")
    parser.add_argument("--version", action="version", version=f"sparkcider {sparkcider.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run.add_commands(commands)
    report.add_commands(commands)
    nearest.add_commands(commands)
    doctor = commands.add_parser("doctor", help="what is installed here, what is wrong, what to do")
    doctor.add_argument("--json", action="store_true", help="print the findings as JSON")
    doctor.set_defaults(command=_doctor, verbose=False)
    models.add_commands(commands)
    return parser


def _doctor(options: argparse.Namespace) -> int:
    from sparkcider.cli.doctor import main as examine

    return examine(as_json=options.json)
