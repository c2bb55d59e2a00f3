"""Which of a run's results stand on each side of a comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from rknn_harness.records.case import Key
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.query import condition_value
from rknn_harness.records.run_folder import Run

AXES = ("toolkit", "board", "precision")

Pair = tuple[str, str]
"""A name before and one after."""

_VOLATILE_FACTS = ("temperatures", "memory", "npu_load", "cpu")
"""Facts of a board that differ from hour to hour."""


@attrs.frozen
class Choice:
    """What is compared with what: by default the same toolkit, board and precision of two runs.

    Attributes
    ----------
    toolkit, board, precision : (str, str) or None
        The name before and the one after; None where both sides have all, each compared with itself.
    """

    toolkit: Pair | None = None
    board: Pair | None = None
    precision: Pair | None = None

    @property
    def axes(self) -> dict[str, Pair]:
        """The chosen names by axis."""
        pairs = {axis: getattr(self, axis) for axis in AXES}
        return {axis: pair for axis, pair in pairs.items() if pair is not None}

    @property
    def words(self) -> str:
        """The choice as a person reads it; empty without one."""
        return ", ".join(f"{axis} {old} → {new}" for axis, (old, new) in self.axes.items())

    @property
    def stem(self) -> str:
        """What the comparison's files are named by."""
        return "-".join(["compare", *(name for pair in self.axes.values() for name in pair)])

    def results(self, run: Run, side: int) -> dict[Key, CaseResult]:
        """Return the results of a side, 0 or 1, by what both sides know them by."""
        chosen = [
            result
            for result in run.results
            if all(condition_value(result, axis) == pair[side] for axis, pair in self.axes.items())
        ]
        return {self.identity(result): result for result in chosen}

    def skipped(self, after: Run) -> set[Key]:
        """Return what the lists of expectations skip after, as `identity` does; not between precisions."""
        return {
            (each["id"], "" if self.toolkit else each["toolkit"], "" if self.board else each["board"])
            for each in after.manifest.get("skipped", ())
            if all(each[axis] == new for axis, (_, new) in self.axes.items())
        }

    def identity(self, result: CaseResult) -> Key:
        """Return what both sides know a case by."""
        name, toolkit, board = result.key
        if self.precision is not None:
            # The id of a case is its model's name, the precision and the batch sizes, whatever else follows.
            before, _, after = name.rpartition(f"-{result.case.precision}-n")
            name = f"{before}-n{after}"
        return name, "" if self.toolkit else toolkit, "" if self.board else board

    def facts(self, run: Run, side: int) -> dict[str, Any]:
        """Return versions, seed and facts that a side was made with, by a name that both sides have."""
        manifest = run.manifest
        toolkits = {toolkit["version"]: toolkit for toolkit in manifest.get("toolkits", ())}
        boards = {
            board: {name: value for name, value in facts.items() if name not in _VOLATILE_FACTS}
            for board, facts in manifest.get("boards", {}).items()
        }
        return {
            **manifest.get("versions", {}),
            "seed": manifest.get("seed"),
            "commit": (manifest.get("commit") or {}).get("id"),
            **{f"host: {name}": value for name, value in manifest.get("host", {}).items()},
            **dict(_flat("toolkit", toolkits, self.toolkit, side)),
            **dict(_flat("board", boards, self.board, side)),
        }


EVERYTHING = Choice()
"""Each case with itself."""


def _flat(
    axis: str, facts: Mapping[str, Mapping[str, Any]], pair: Pair | None, side: int
) -> Iterator[tuple[str, Any]]:
    """Yield facts by name: of the chosen entry alone, or of all with the entry's name."""
    for entry in facts if pair is None else [pair[side]]:
        for name, value in facts.get(entry, {}).items():
            yield f"{axis} {entry}: {name}" if pair is None else f"{axis}: {name}", value


def names_of(run: Run, axis: str) -> list[str]:
    """Return the toolkits, boards or precisions that a run has results of, in the order of the record."""
    return list(dict.fromkeys(condition_value(result, axis) for result in run.results))
