"""The parser of every command: errors in one line, the same options for output, and the types of options."""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from sparkcider.arguments import instead
from sparkcider.options import PRESETS
from sparkcider.printable import printable, printable_json

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


_VERBS = "must|is|are|has|have|had|holds|needs|goes|cannot|exists"
"""What follows the name of an option in messages that begin with it."""


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are one line, with the option that was probably meant."""

    example = ""
    """A call of this command that works, for the help of all commands."""

    def error(self, message: str) -> Any:
        """Prints one line in place of the whole usage, and exits with code 2."""
        self.exit(2, f"{self.prog}: {printable(message)}; see `{self.prog} --help`\n")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parses, and refuses what is unknown here, where the near options are known."""
        if self._subparsers is None:  # before a missing option, which may be a misspelled one
            self._refuse_unknown([word for word in self._options_in(args) if not self._is_known(word)])
        found, unknown = super().parse_known_args(args, namespace)
        self._refuse_unknown(unknown)
        return found, unknown

    def _options_in(self, args: Sequence[str] | None) -> list[str]:
        words = list(sys.argv[1:] if args is None else args)
        words = words[: words.index("--")] if "--" in words else words
        return [word for word in words if word.startswith("--")]

    def _is_known(self, word: str) -> bool:
        """Whether it begins an option: they may be cut short."""
        name = word.partition("=")[0]
        return any(option.startswith(name) for option in self._option_string_actions)

    def _refuse_unknown(self, unknown: Sequence[str]) -> None:
        if not unknown:
            return
        name = unknown[0].partition("=")[0]
        hint = instead(self.prog, name)
        near = difflib.get_close_matches(name, self._option_string_actions, n=1)
        if hint is None and near:
            hint = f"did you mean {near[0]}?"
        self.error(f"unknown argument {unknown[0]}" + (f": {hint}" if hint else ""))

    def in_options(self, message: str) -> str:
        """A message in the options of this command: `pca_k` is `--pca-k` here.

        Names of one word are words of sentences, too: they are options where a verb follows, and they begin the message
        or come after "and".
        """
        for action in self._actions:
            if action.option_strings:
                name = rf"(?<![\w./-]){action.dest}(?![\w/=(-]|\.\w)"
                if "_" not in action.dest:
                    name = rf"(?:^|(?<=\band )){action.dest}(?= (?:\S+ )?(?:{_VERBS})\b)"
                message = re.sub(name, action.option_strings[0], message)
        return message


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

    def run(options: argparse.Namespace) -> int:
        try:
            return function(options)
        except Exception as error:
            if len(error.args) == 1 and isinstance(error.args[0], str):
                error.args = (command.in_options(error.args[0]),)
            raise

    command.set_defaults(command=run)
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
