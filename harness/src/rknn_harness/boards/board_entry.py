"""One entry of ``boards.toml``: typed fields, or which one is wrong."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from rknn_harness.errors import BoardsFileError


class BoardEntry:
    """Takes fields out of an entry of a file; those that nobody takes are errors.

    Raises
    ------
    BoardsFileError
        From every method; the text names the file, the entry and the field.
    """

    def __init__(self, path: Path, name: str, fields: Mapping[str, Any]) -> None:
        self.path, self.name, self.fields = path, name, dict(fields)

    def fail(self, field: str, why: str) -> NoReturn:
        """Raise; `why` goes on after the field's name."""
        raise BoardsFileError(
            f"{self.path}: [board.{self.name}] {field} {why}.",
            file=str(self.path),
            entry=self.name,
            field=field,
        )

    def text(self, field: str, default: str | None = None) -> str:
        """Take a text of one line; without a default it must be there."""
        value = self.fields.pop(field, default)
        if value is None:
            (close,) = difflib.get_close_matches(field, self.fields, 1) or [None]
            self.fail(field, "is missing" if close is None else f"is missing; {close!r} is no field")
        if not isinstance(value, str) or not value or not value.isprintable():
            self.fail(field, f"is {value!r:.60}, not a text of one line")
        return value

    def file(self, field: str) -> Path:
        """Take a path, relative to the file's folder."""
        value = self.text(field)
        try:
            return self.path.parent / Path(value).expanduser()
        except RuntimeError:
            self.fail(field, f"is {value!r:.60}, and there is no such user's home; write it in full")

    def port(self) -> int | None:
        """Take ``port``; None when it is not there."""
        if "port" not in self.fields:
            return None
        value = self.fields.pop("port")
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 65536:
            self.fail("port", f"is {value!r:.60}, not a number from 1 to 65535")
        return value

    def seconds(self, field: str, default: float) -> float:
        """Take seconds, up to a day."""
        value = self.fields.pop(field, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 86_400:
            self.fail(field, f"is {value!r:.60}, not seconds, up to a day")
        return float(value)

    def flag(self, field: str) -> bool:
        """Take true or false, by default false."""
        value = self.fields.pop(field, False)
        if not isinstance(value, bool):
            self.fail(field, f"is {value!r:.60}, not true or false")
        return value

    def words(self, field: str) -> tuple[str, ...] | None:
        """Take a list of texts as a tuple; None where it is not there."""
        value = self.fields.pop(field, None)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
            self.fail(field, f"is {value!r:.60}, not a list of texts")
        return tuple(value)
