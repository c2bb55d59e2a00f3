"""An entry of a run's plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from rknn_harness.records.case import Case, Key, file_name


@attrs.frozen
class Entry:
    """One case on one board."""

    case: Case
    board: str

    @property
    def key(self) -> Key:
        """The key of its result."""
        return self.case.id, self.case.toolkit, self.board

    @property
    def name(self) -> str:
        """Its name among pytest's items."""
        return "-".join(self.key)

    def to_json(self) -> dict[str, Any]:
        """Return the entry as JSON types."""
        return {**self.case.to_json(), "board": self.board}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Entry:
        """Read what `to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is not such a document.
        """
        return cls(Case.from_json(document), file_name(document["board"]))
