"""The parser of every command: errors in one line, the same options for output, and the types of options."""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from sparkcider.options import PRESETS
from sparkcider.printable import printable, printable_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are one line, with the option that was probably meant."""

    example = ""
    """A call of this command that works, for the help of all commands."""

    def error(self, message: str) -> Any:
        """Prints one line in place of the whole usage, and exits with code 2."""
        self.exit(2, f"{self.prog}: {printable(message)}; see `{self.prog} --help`\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses, and refuses what is unknown here, where the near options are known."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            known = [option for action in self._actions for option in action.option_strings]
            near = difflib.get_close_matches(unknown[0].partition("=")[0], known, n=1)
            self.error(f"unknown argument {unknown[0]}" + (f": did you mean {near[0]}?" if near else ""))
        return found, unknown


def add_command(commands: Any, name: str, *, summary: str, example: str, description: str, epilog: str = "") -> Parser:
    """Adds a command.

    Args:
        commands: The subparsers to add to.
        name: Of the command.
        summary: What it does, in a line without a full stop.
        example: A call that works.
        description: What it does, at the top of its help.
        epilog: More, at the end of its help.
    """
    command: Parser = commands.add_parser(
        name,
        help=summary,
        description=_wrapped(description),
        epilog=f"example:\n  {example}" + (f"\n\n{_wrapped(epilog)}" if epilog else ""),
        formatter_class=formatter,
    )
    command.example = example
    return command


def finish_command(command: Parser, function: Callable[[argparse.Namespace], int]) -> Any:
    """Adds the options that all commands have, as the last group of the help, and says what the command calls."""
    output = command.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print the result as JSON (default: text)")
    output.add_argument("--verbose", action="store_true", help="tracebacks of errors (default: one line)")
    command.set_defaults(command=function)
    return output


def formatter(prog: str) -> argparse.HelpFormatter:
    """Keeps the lines of descriptions, and leaves room for long options."""
    return argparse.RawDescriptionHelpFormatter(prog, max_help_position=30)


def _wrapped(text: str) -> str:
    return "\n\n".join(textwrap.fill(" ".join(part.split()), 79) for part in text.split("\n\n"))


def show(options: argparse.Namespace, result: Any, lines: Sequence[str]) -> None:
    """Prints the result of a command: `lines`, or with `--json` the result itself."""
    text = printable_json(json.dumps(result, ensure_ascii=False, indent=2, default=str))
    sys.stdout.write((text if options.json else "\n".join(map(printable, lines))) + "\n")


def say(line: str) -> None:
    """Prints a line to stderr, where all goes that is not the result."""
    sys.stderr.write(f"{printable(line)}\n")
    sys.stderr.flush()


def size(text: str) -> int | tuple[int, int]:
    """`N` or `HxW`."""
    if not re.fullmatch(r"\d+(x\d+)?", text):
        raise argparse.ArgumentTypeError(f"a side (224) or height x width (224x224), not {text!r}")
    height, _, width = text.partition("x")
    return (int(height), int(width)) if width else int(height)


def normalization(text: str) -> str | tuple[list[float], list[float]]:
    """A preset, or mean and standard deviation of each channel as `M,M,M/S,S,S`."""
    if text in PRESETS:
        return text
    try:
        mean, std = ([float(number) for number in part.split(",")] for part in text.split("/"))
    except ValueError:
        mean, std = [], []
    if len(mean) == len(std) == len("RGB"):
        return mean, std
    raise argparse.ArgumentTypeError(f"one of {', '.join(PRESETS)}, or mean/std as M,M,M/S,S,S, not {text!r}")


def color(text: str) -> tuple[int, int, int]:
    """`R,G,B`, levels from 0 to 255."""
    try:
        red, green, blue = bytes(int(level) for level in text.split(","))  # bytes are the levels from 0 to 255
    except ValueError:
        raise argparse.ArgumentTypeError(f"three levels from 0 to 255 as R,G,B, not {text!r}") from None
    return red, green, blue


def pair(text: str) -> tuple[str, str]:
    """`KEY=VALUE`."""
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise argparse.ArgumentTypeError(f"KEY=VALUE, not {text!r}")
    return key, value
