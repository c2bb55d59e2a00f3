"""Rows that leave the range that a model of integers was calibrated with."""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass, field
from typing import Callable, Mapping

import numpy as np

from scirknn.arrays import Array, Float32Array
from scirknn.bundle.columns import Category, Coded, Columns, Missing
from scirknn.bundle.contents import Bundle
from scirknn.bundle.input_range import ROUNDING
from scirknn.errors import InputRangeWarning

NAMED = 3
"""Inputs that a warning names."""


@dataclass(frozen=True)
class InputRangeCounts:
    """The rows that a model has been given since it was opened.

    Attributes
    ----------
    rows : int
    rows_outside : int
        Those with an input outside its range.
    inputs : mapping of str to int
        How many rows, for each input that was outside in any; a feature's name, or ``column 3``.
    """

    rows: int
    rows_outside: int
    inputs: Mapping[str, int] = field(default_factory=dict)


class RangeWatch:
    """Counts the rows that leave the bundle's input range, and warns of the first."""

    def __init__(self, bundle: Bundle) -> None:
        limits = bundle.input_range
        assert limits is not None
        self._bundle, self._range = bundle, limits
        ends = np.stack(
            [limits.low - ROUNDING * np.abs(limits.low), limits.high + ROUNDING * np.abs(limits.high)]
        )
        with np.errstate(over="ignore"):
            prepared = bundle.prepare(ends).astype(np.float32)
        # As rows are fed: padded with zeros, and a step wider for the rounding before.
        self._low, self._high = np.zeros((2, bundle.channels), dtype=np.float32)
        self._low[: bundle.n_inputs] = np.nextafter(prepared.min(axis=0), np.float32(-np.inf))
        self._high[: bundle.n_inputs] = np.nextafter(prepared.max(axis=0), np.float32(np.inf))
        self._all_inside = b"\1" * bundle.channels
        self._lock = threading.Lock()
        self._rows = self._rows_outside = 0
        self._outside = np.zeros(bundle.channels, dtype=np.int64)
        self._least = limits.low.copy()
        self._greatest = limits.high.copy()
        self._is_due = self._is_reported = False

    def inside(self, model_input: Float32Array) -> Array:
        """Say of each number whether it is inside, shape (n, channels); NaN is not."""
        within: Array = model_input >= self._low
        within &= model_input <= self._high
        return within

    def holds(self, row: Float32Array) -> bool:
        """Say whether a row as it is fed, shape (channels,), is inside."""
        all_inside = self._all_inside  # comparing bytes takes half as long as counting
        return (row >= self._low).tobytes() == all_inside and (row <= self._high).tobytes() == all_inside

    def count(self, inputs: Array, inside: Array | None = None) -> None:
        """Count rows of `inputs`, shape (n, n_inputs), in the units of the range.

        `inside` is the result of the method of that name; by default all are.
        """
        if inside is None:
            with self._lock:
                self._rows += len(inputs)
            return
        rows = len(inputs)
        if rows == 1:
            inside_counts, rows_outside = inside[0], 1
            least = greatest = inputs[0]
        else:
            inside_counts, rows_outside = inside.sum(axis=0), rows - np.count_nonzero(inside.all(axis=1))
            least, greatest = inputs.min(axis=0), inputs.max(axis=0)
        with self._lock:
            self._rows += rows
            self._rows_outside += rows_outside
            self._outside += rows
            self._outside -= inside_counts
            np.minimum(self._least, least, out=self._least)
            np.maximum(self._greatest, greatest, out=self._greatest)
            self._is_due = not self._is_reported

    def counts(self) -> InputRangeCounts:
        """Return the counts so far."""
        with self._lock:
            rows, rows_outside, outside = self._rows, self._rows_outside, self._outside.copy()
        inputs: dict[str, int] = {}
        if rows_outside:
            names = input_names(self._bundle)
            for place in np.argsort(-outside[: len(names)], kind="stable").tolist():
                if outside[place]:
                    # What two steps take from one feature is one feature.
                    inputs.setdefault(names[place], int(outside[place]))
        return InputRangeCounts(rows, rows_outside, inputs)

    def warn(self) -> None:
        """Warn (InputRangeWarning) where rows were outside and no warning has been given."""
        if not self._is_due:
            return
        self._is_due = False  # once, and again where the warning is made an error
        warnings.warn(self.text(), InputRangeWarning, stacklevel=4)
        self._is_reported = True

    def text(self) -> str:
        """Say how many rows were outside, where, and what it means; empty where none was."""
        counts, limits, precision = self.counts(), self._range, self._bundle.precision
        if not counts.rows_outside:
            return ""
        names = input_names(self._bundle)
        inputs = []
        for name, rows in list(counts.inputs.items())[:NAMED]:
            place = names.index(name)
            inputs.append(
                f"{name} in {rows} ({limits.low[place]:.6g} to {limits.high[place]:.6g}; "
                f"met {self._least[place]:.6g} to {self._greatest[place]:.6g})"
            )
        others = len(counts.inputs) - len(inputs)
        meaning = f"{precision} cuts off what lies beyond, and predictions go wrong"
        if limits.room > 1:
            meaning = f"{precision} goes on for {limits.room:.3g} times as far, and cuts off what lies beyond"
        return (
            f"{counts.rows_outside} of {counts.rows} rows have inputs outside the range that "
            f"{self._bundle.path.name} was calibrated for: {', '.join(inputs)}"
            + (f" and {others} more inputs" if others else "")
            + f". {meaning}. Convert again with such rows in example_input, or check the rows."
        )


def input_names(bundle: Bundle) -> list[str]:
    """Return a name for each input of the network, made of its features'."""

    def feature(column: int) -> str:
        return f"column {column}" if bundle.feature_names is None else repr(bundle.feature_names[column])

    columns = bundle.columns
    if columns is None:
        return [feature(column) for column in range(bundle.n_features_in)]
    return [_name(columns, place, feature) for place in range(len(columns.inputs))]


def _name(columns: Columns, place: int, feature: Callable[[int], str]) -> str:
    column_input = columns.inputs[place]
    if isinstance(column_input, (Category, Coded)):
        lookup = columns.lookups[column_input.lookup]
        name = feature(lookup.source)
        if isinstance(column_input, Coded):
            return f"{name} encoded"
        keys = [key for key, code in zip(lookup.keys, lookup.codes) if code == column_input.code]
        if not keys and column_input.code == lookup.nan:
            return f"{name} is missing"
        return f"{name} == {keys[0]!r}" if len(keys) == 1 else f"{name} encoded, category {column_input.code}"
    return (
        f"{feature(column_input.source)} is missing"
        if isinstance(column_input, Missing)
        else feature(column_input.source)
    )
