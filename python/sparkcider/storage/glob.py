r"""Hadoop's globs: what Spark takes in the path of an input and as `pathGlobFilter`.

| in a glob | fits |
|---|---|
| `*`, `?` | any characters, any one character; no `/` in a path |
| `[a-c]`, `[^a]`, `[!a]` | one character of a set, one that is not in it |
| `{a,b{c,d}}` | one of several globs |
| `\` | makes the next character an ordinary one |

`GlobPattern` and `GlobExpander` of Hadoop define it, down to its oddities: inside `[...]` they still replace `*`, `?`,
`{` and `.`, and `,` within braces.
"""

from __future__ import annotations

import re

_SPECIAL = frozenset("{}[]*?\\")


def is_glob(path: str) -> bool:
    """Whether Spark reads a path as a glob."""
    return not _SPECIAL.isdisjoint(path)


def has_wildcard(glob: str) -> bool:
    """Whether a glob may fit more than one name; if not, `unescaped` is the name."""
    return re.search(r"[*?{\[]", re.sub(r"\\.", "", glob, flags=re.DOTALL)) is not None


def unescaped(glob: str) -> str:
    """The name that a glob without a wildcard stands for."""
    return re.sub(r"\\(.)", r"\1", glob)


def compile_glob(glob: str) -> re.Pattern[str]:
    """The regular expression of a glob over one name; use its `fullmatch`.

    Raises:
        ValueError: A bracket or brace is not closed, a range is backwards, or a backslash stands at the end or before a
            letter or digit, where it has no meaning.
    """
    try:
        return re.compile(_to_python(_to_re2(glob)), re.DOTALL)
    except (ValueError, re.error) as error:  # re.error: braces and brackets that cross
        raise ValueError(f"glob {glob!r} is not valid: {error}") from None


def split_braces(glob: str) -> list[str]:
    """The globs that a glob over a path means, none with a slash inside braces: `p{a/b,c}s` means `pa/bs` and `pcs`.

    Raises:
        ValueError: A backslash stands at its end.
    """
    done: list[str] = []
    ahead = [(glob, 0)]
    while ahead:
        path, start = ahead.pop(0)
        group = _group_with_slash(path, start)
        if group is None:
            done.append(path)
        else:
            prefix, end = path[: group[0]], group[1]
            ahead[:0] = [(prefix + part + path[end:], len(prefix)) for part in _parts(path[group[0] + 1 : end - 1])]
    return done


def _group_with_slash(glob: str, start: int) -> tuple[int, int] | None:
    """Where the first outer group with a slash begins and ends; the braces may not have a partner."""
    depth, begin, slash = 0, -1, False
    at = start
    while at < len(glob):
        letter = glob[at]
        if letter == "\\":
            at += 1
            if at >= len(glob):
                raise ValueError(f"glob {glob!r} is not valid: a backslash at its end")
        elif letter == "{":
            begin = at if depth == 0 else begin
            depth += 1
        elif letter == "}" and depth > 0:
            depth -= 1
            if depth == 0 and slash:
                return begin, at + 1
        elif letter == "/" and depth > 0:
            slash = True
        at += 1
    return None


def _parts(inside: str) -> list[str]:
    """What commas separate in a group; Hadoop takes the backslashes away here."""
    parts, depth, part = [], 0, ""
    letters = iter(inside)
    for letter in letters:
        if letter == "," and depth == 0:
            parts.append(part)
            part = ""
            continue
        depth += {"{": 1, "}": -1}.get(letter, 0)
        part += next(letters) if letter == "\\" else letter
    return [*parts, part]


def _to_re2(glob: str) -> str:
    """The expression that Hadoop makes for RE2. It takes any `]` for the end of a set, which RE2 does not."""
    out, depth, in_set = "", 0, False
    at = 0
    while at < len(glob):
        letter = glob[at]
        if letter == "\\":
            at += 1
            if at == len(glob):
                raise ValueError("a backslash at its end")
            if glob[at].isascii() and glob[at].isalnum():
                raise ValueError(f"\\{glob[at]} has no meaning")
            out += f"\\{glob[at]}"
        elif letter == "{":
            depth += 1
            out += "(?:"
        elif letter == "}" and depth:
            depth -= 1
            out += ")"
        elif letter == "[" and in_set:
            raise ValueError("a bracket inside of brackets has no backslash")
        elif letter == "!" and in_set and glob[at - 1] == "[":
            out += "^"
        else:
            out += {"*": ".*", "?": ".", ",": "|" if depth else ",", "^": "^" if in_set else "\\^"}.get(
                letter, f"\\{letter}" if letter in ".$()|+" else letter
            )
            in_set = letter == "[" or (in_set and letter != "]")
        at += 1
    if in_set or depth:
        raise ValueError("a bracket is not closed" if in_set else "a brace is not closed")
    return out


def _to_python(expression: str) -> str:
    """What `_to_re2` writes, for Python's `re`, which reads other things into sets."""
    out, at = "", 0
    while at < len(expression):
        letter = expression[at]
        if letter == "[":
            at, text = _set_to_python(expression, at + 1)
            out += text
            continue
        if letter == "\\":
            at += 1
            out += re.escape(expression[at])
        elif expression.startswith("(?:", at):
            at += 2
            out += "(?:"
        else:
            out += letter if letter in ".*|)" else re.escape(letter)
        at += 1
    return out


def _set_to_python(expression: str, at: int) -> tuple[int, str]:
    """The set that begins at an index, and the index after it."""
    negation = "^" if expression.startswith("^", at) else ""
    at += len(negation)
    out, begin = "", at

    def letter() -> str:
        nonlocal at
        at += 2 if expression.startswith("\\", at) else 1
        return expression[at - 1]

    while at < len(expression) and (expression[at] != "]" or at == begin):
        low = high = letter()
        if expression.startswith("-", at) and not expression.startswith("-]", at) and at + 1 < len(expression):
            at += 1
            high = letter()
        if low > high:
            raise ValueError(f"the range {low}-{high} is backwards")
        out += re.escape(low) if low == high else f"{re.escape(low)}-{re.escape(high)}"
    if at == len(expression):
        raise ValueError("a bracket is not closed")
    return at + 1, f"[{negation}{out}]"
