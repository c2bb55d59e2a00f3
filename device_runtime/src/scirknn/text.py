"""Text that is read as JSON or printed, whoever wrote it, and the end of standard output; no numpy."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import sys
from typing import Any, NoReturn

_MOST_BRACKETS = 1 << 18
"""Lists and objects of a document: an empty one takes 3 bytes there and 64 in memory."""

_DEEPEST = 32
"""Levels of nesting, below what Python can copy, compare and print."""

_FINITE_DIGITS = 308
"""Of integers that float64 holds."""

_MOST_DIGITS = 1000
"""Of others: the time to read an integer grows with the square of its length."""


def parse_json(content: bytes, *, finite: bool = True) -> Any:
    """Return the JSON of bytes that anyone may have written; it can be copied, printed and written again.

    Parameters
    ----------
    content : bytes
    finite : bool
        Whether numbers beyond float64 are refused, NaN and infinity among them.

    Raises
    ------
    ValueError
        It is no JSON in UTF-8, has one key twice in an object, such a number, one of more than 1,000
        digits, more than 262,144 lists and objects, or more than 32 levels of them.
    """
    brackets = content.count(b"{") + content.count(b"[")
    if brackets > _MOST_BRACKETS:
        raise ValueError(f"it has {brackets} lists and objects, more than {_MOST_BRACKETS}")
    too_deep = f"it nests more than {_DEEPEST} levels deep"
    try:
        document = (_FINITE if finite else _ANY_FLOAT).decode(content.decode("utf-8"))
    except RecursionError:
        raise ValueError(too_deep) from None
    level: list[Any] = [[document]]
    for _ in range(_DEEPEST + 1):
        level = [
            inner
            for value in level
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, (dict, list))
        ]
    if level:
        raise ValueError(too_deep)
    return document


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) < len(pairs):
        seen: set[str] = set()
        for name, _ in pairs:
            if name in seen:
                raise ValueError(f"it has {name!r:.60} twice")
            seen.add(name)
    return document


def _integer(most: int, text: str) -> int:
    if len(text) > most:
        raise ValueError(f"it has a number of {len(text)} digits, more than {most}")
    return int(text)


def _finite(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"it has {text:.40}, beyond the numbers of float64")
    return value


def _refuse(name: str) -> NoReturn:
    raise ValueError(f"it has {name}, which is no number")


_FINITE = json.JSONDecoder(
    object_pairs_hook=_object,
    parse_int=functools.partial(_integer, _FINITE_DIGITS),
    parse_float=_finite,
    parse_constant=_refuse,
)
_ANY_FLOAT = json.JSONDecoder(object_pairs_hook=_object, parse_int=functools.partial(_integer, _MOST_DIGITS))


def printable(text: str) -> str:
    """Return a text that moves no cursor and reorders no line.

    Control and format characters (colours, bidirectional overrides, half a surrogate pair) become U+FFFD;
    newline and tab stay. What comes from a bundle, board, toolkit or file goes through it on its way to a
    terminal or page.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def count_of(count: int, noun: str) -> str:
    """Return ``1 model`` or ``2 models``."""
    return f"{count} {noun}" + "s" * (count != 1)


def cause_of(error: Exception) -> str:
    """Return an error's text; where the system refused a file, its name and the reason without a number."""
    if isinstance(error, OSError) and isinstance(error.filename, (str, bytes)):
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    return str(error)


def drop_output() -> None:
    """Let standard output lead nowhere once it takes no more, or Python would complain at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
