"""Steps that hold steps: what the host computes for each of several models that stand side by side."""

from __future__ import annotations

from itertools import accumulate
from typing import Callable, Iterable

import numpy as np

from scirknn.arrays import Floats, Ints
from scirknn.steps.linear import Arithmetic, Scale
from scirknn.steps.step import RowStep, Step, apply_steps, carry_steps, step, take_rows, width_after

_NUMBERS = 1 << 22
"""In work at a time: 32 MiB."""


def accept_missing(steps: Iterable[Step]) -> bool:
    """Whether NaN means something to the first of some steps that computes, as scikit-learn's trees take it.

    Picked columns and maps in front of it pass NaN on.
    """
    first = next((each for each in steps if not isinstance(each, (Arithmetic, Picked, Scale))), None)
    return first is not None and first.accepts_missing


def _refuse_row_steps(kind: str, steps: tuple[Step, ...]) -> None:
    if take_rows(steps):
        raise ValueError(f"the step {kind!r} holds a step that takes rows")


@step("each")
class Each(Step):
    """Compute the same steps, one after the other, for each of several groups of as many columns.

    Attributes
    ----------
    count : int
        Groups; 1 makes one step of several.
    steps : tuple of Step
    """

    count: int
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        _refuse_row_steps(self.kind, self.steps)
        if self.count < 1:
            raise self.fault(f"has {self.count} groups")

    @property
    def accepts_missing(self) -> bool:
        return accept_missing(self.steps)

    def width(self, columns: int) -> int:
        if columns % self.count:
            raise self.fault(f"has {self.count} groups of {columns} columns")
        return self.count * width_after(self.steps, columns // self.count)

    def apply(self, values: Floats) -> Floats:
        return apply_steps(self.steps, self._stacked(values)).reshape(len(values), -1)

    def carry(self, values: Floats, error: Floats) -> Floats:
        _, carried = carry_steps(self.steps, self._stacked(values), self._stacked(error))
        return carried.reshape(len(values), -1)

    def _stacked(self, values: Floats) -> Floats:
        return values.reshape(len(values) * self.count, values.shape[1] // self.count)


@step("groups")
class Groups(Step):
    """Compute a step for each group of neighbouring columns; the results stand side by side.

    Attributes
    ----------
    starts, widths : tuple of int
        Where each group begins, and its columns. Groups may share columns.
    members : tuple of Step
        One for each group.
    """

    starts: tuple[int, ...]
    widths: tuple[int, ...]
    members: tuple[Step, ...]

    def __post_init__(self) -> None:
        _refuse_row_steps(self.kind, self.members)
        if not self.members or {len(self.starts), len(self.widths)} != {len(self.members)}:
            raise self.fault(
                f"has {len(self.members)} members for {len(self.starts)} starts and {len(self.widths)} widths"
            )
        if min(self.starts) < 0 or min(self.widths) < 1:
            raise self.fault(f"starts at {min(self.starts)}, {min(self.widths)} wide")

    @property
    def accepts_missing(self) -> bool:
        return all(each.accepts_missing for each in self.members)

    def width(self, columns: int) -> int:
        end = max(start + width for start, width in zip(self.starts, self.widths))
        self.require_column(end - 1, columns)
        return sum(each.width(width) for each, width in zip(self.members, self.widths))

    def apply(self, values: Floats) -> Floats:
        return self._joined(lambda each, own: each.apply(values[:, own]))

    def carry(self, values: Floats, error: Floats) -> Floats:
        return self._joined(lambda each, own: each.carry(values[:, own], error[:, own]))

    def _joined(self, compute: Callable[[Step, slice], Floats]) -> Floats:
        parts = zip(self.members, self.starts, self.widths)
        return np.hstack([compute(each, slice(start, start + width)) for each, start, width in parts])


@step("picked")
class Picked(Step):
    """Take some columns, in any order and any number of times.

    Attributes
    ----------
    columns : numpy.ndarray of int64, shape (k,)
    """

    columns: Ints

    def __post_init__(self) -> None:
        if self.columns.ndim != 1 or not self.columns.size or self.columns.min() < 0:
            raise self.fault(f"takes columns of shape {self.columns.shape}, or below 0")

    def width(self, columns: int) -> int:
        self.require_column(int(self.columns.max()), columns)
        return len(self.columns)

    def apply(self, values: Floats) -> Floats:
        return values[:, self.columns]

    def carry(self, values: Floats, error: Floats) -> Floats:
        return error[:, self.columns]


@step("of_rows")
class OfRows(Step):
    """Compute steps of the values, which are the rows of those steps that take rows.

    So the host computes a model of nearest rows where others stand beside it.

    Attributes
    ----------
    steps : tuple of Step
    """

    steps: tuple[Step, ...]

    @property
    def held(self) -> tuple[Step, ...]:
        return self.steps

    def width(self, columns: int) -> int:
        for each in self.steps:
            if isinstance(each, RowStep) and each.inputs not in (None, columns):
                raise self.fault(f"has {columns} columns for the {each.inputs} of {each.kind!r}")
        return width_after(self.steps, columns)

    def apply(self, values: Floats) -> Floats:
        return np.vstack([apply_steps(self.steps, part, part) for part in self._parts(values)])

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error where the values have none; of others nothing is known."""
        _, carried = carry_steps(self.steps, values, np.zeros_like(values), values)
        return np.where(error.any(axis=1, keepdims=True), np.inf, carried)

    def _parts(self, values: Floats) -> list[Floats]:
        """Cut rows into parts of which no step makes more than so many numbers."""
        widths = accumulate(self.steps, lambda columns, each: each.width(columns), initial=values.shape[1])
        size = max(1, _NUMBERS // max(widths))
        return [values[start : start + size] for start in range(0, max(1, len(values)), size)]


@step("with_rows")
class WithRows(RowStep):
    """Append the network's inputs to the values, for models that the host computes of them.

    Attributes
    ----------
    columns : int
        Inputs of the network.
    """

    columns: int

    def __post_init__(self) -> None:
        if self.columns < 1:
            raise self.fault(f"appends {self.columns} columns")

    @property
    def inputs(self) -> int | None:
        return self.columns

    def width(self, columns: int) -> int:
        return columns + self.columns

    def apply_to(self, values: Floats, rows: Floats) -> Floats:
        return np.hstack([values, rows])

    def carry_to(self, values: Floats, error: Floats, rows: Floats) -> Floats:
        return np.hstack([error, np.zeros_like(rows, dtype=np.float64)])
