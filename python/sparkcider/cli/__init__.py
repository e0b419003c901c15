"""The command ``sparkcider``. ``EXIT_CODES`` says what each of its exit codes means."""

from __future__ import annotations

import os
import re
import sys
import traceback
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import sparkcider
from sparkcider import ModelError
from sparkcider.cli import models, nearest, report, run
from sparkcider.cli.parser import Parser, add_command, finish_command, formatter, pair, say, show
from sparkcider.cli.stop import leave, stopping

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from sparkcider.cli.stop import Stop


EXIT_CODES = """exit codes:
  0    done
  1    something failed
  2    the command is wrong: an option, a path, a model's file
  3    more images failed than --max-error-rate allows, or could not be read than --max-unread-rate allows
  129  stopped by SIGHUP
  130  stopped by Ctrl-C
  143  stopped by SIGTERM"""


_ONE_LINE = (ValueError, TypeError, FileNotFoundError, FileExistsError, PermissionError)
"""Errors whose messages are ours, or those of the system: in one line."""

_TOO_MANY = ("TooManyErrorsError", "TooManyUnreadError")
"""Errors of exit code 3, by name: the job is imported by the commands that need it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit code.

    Args:
        arguments: The words after ``sparkcider``; ``None``: those of this process.

    Returns:
        One of `EXIT_CODES`.

    Example:
        >>> main(["run", "--input", "in", "--output", "out", "--model", "pixels", "--pca-variance", "2"])
        2
    """
    try:
        options = _parser().parse_args(arguments)
    except SystemExit as ended:  # argparse's way out, after --help and after a wrong option
        return ended.code if isinstance(ended.code, int) else 2
    options.own_process = arguments is None
    with stopping() as stop:
        code = _run(options, stop)
        if stop.number is not None and options.own_process:
            leave(code)
    return code


def _run(options: argparse.Namespace, stop: Stop) -> int:
    """Runs the chosen command; says the error that ends it in one line."""
    try:
        with _warnings_as_lines():
            code: int = options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # of `sparkcider ... | head`, which has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the exit would flush once more
        return 1
    except BaseException as error:
        if stop.number is not None:  # an interrupted Spark raises errors of its own
            return stop.exit_code
        if not isinstance(error, Exception):
            raise
        if options.verbose:
            for line in traceback.format_exc().rstrip().split("\n"):
                say(line)
        say(f"sparkcider: {explain(error)}")
        if type(error).__name__ in _TOO_MANY:
            return 3
        return 2 if isinstance(error, (ValueError, TypeError, FileNotFoundError, FileExistsError, ModelError)) else 1
    return code


@contextmanager
def _warnings_as_lines() -> Iterator[None]:
    """Shows warnings as plain lines: which line of the code warns says nothing to the user of a command."""

    def as_line(message: Warning | str, *_where: Any, **_more: Any) -> None:
        say(f"sparkcider: warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = as_line
        yield


def explain(error: BaseException) -> str:
    """The one line of an exception that says the cause: Spark wraps it in stack traces of two languages."""
    text = str(error).strip() or type(error).__name__
    if "JAVA_GATEWAY_EXITED" in text or "JAVA_HOME" in text:
        return "Java does not start, and Spark needs it; `sparkcider doctor` says what is missing"
    raised = re.findall(r"^(?:[\w.]+\.)?\w+(?:Error|Exception): (.+)$", text, re.MULTILINE)
    if "Traceback (most recent call last)" in text and raised:
        return str(raised[-1])
    if type(error) in _ONE_LINE:  # a line end in it belongs to a name
        return text
    lines = [line.strip() for line in text.splitlines()]
    if lines[0].startswith("An error occurred while calling") and len(lines) > 1:
        return lines[1].removeprefix(": ")
    return lines[0]


def _parser() -> Parser:
    parser = Parser(
        prog="sparkcider",
        description="Image embeddings and PCA, with or without Spark.",
        formatter_class=formatter,
    )
    parser.add_argument("--version", action="version", version=f"sparkcider {sparkcider.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    run.add_commands(commands)
    report.add_commands(commands)
    nearest.add_commands(commands)
    models.add_commands(commands)
    doctor = add_command(
        commands,
        "doctor",
        summary="check this installation and say what to do about each fault",
        example="sparkcider doctor",
        description="Checks Python, the packages, Java, the processor, ONNX Runtime, an inference and the models of "
        "this machine. With --cluster it looks at every executor of a Spark session, prints a table, and ends with "
        "exit code 1 where executors differ or one cannot embed.",
    )
    cluster = doctor.add_argument_group("cluster")
    cluster.add_argument("--cluster", action="store_true", help="look at the executors (default: at this machine)")
    cluster.add_argument("--model", default="fruits-tiny", help="name, path or URI (default: %(default)s)")
    cluster.add_argument("--master", metavar="URL", help="of Spark (default: Spark's own)")
    cluster.add_argument("--conf", action="append", default=[], type=pair, metavar="KEY=VALUE", help="Spark setting")
    finish_command(doctor, _doctor)
    completion = add_command(
        commands,
        "completion",
        summary="print the completion script of a shell (needs shtab)",
        example='eval "$(sparkcider completion bash)"',
        description="Prints a script that completes commands and options. Needs shtab: pip install shtab.",
    )
    completion.add_argument("shell", choices=("bash", "zsh", "tcsh"))
    finish_command(completion, _completion)
    examples = "\n".join(f"  {command.example}" for command in commands.choices.values())
    parser.epilog = f"examples:\n{examples}\n\n{EXIT_CODES}"
    return parser


def _doctor(options: argparse.Namespace) -> int:
    if options.cluster:
        from sparkcider.cli.doctor_cluster import main as examine_cluster

        return examine_cluster(options)
    from sparkcider.cli.doctor import main as examine

    return examine(as_json=options.json)


def _completion(options: argparse.Namespace) -> int:
    try:
        import shtab
    except ImportError as error:
        raise ImportError("completion needs shtab: pip install shtab") from error
    script = shtab.complete(_parser(), shell=options.shell)
    if options.json:
        show(options, {"shell": options.shell, "script": script}, ())
    else:
        sys.stdout.write(f"{script}\n")  # ours, to its last tab
    return 0
