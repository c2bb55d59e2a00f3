"""The network's input columns from the columns of X: picked, filled, looked up.

What stands before a network in a pipeline and is no arithmetic (selectors, imputers, encoders, and which
transformer takes which column) is one list of small operations, one for each input of the network. Each takes
a block of rows; the affine map of the bundle follows.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Union

import numpy as np

from scirknn.arrays import Array, Floats
from scirknn.errors import InputError
from scirknn.input_checks import check_finite

UNKNOWN = ("error", "ignore", "warn", "warn_infrequent")

Key = Union[str, int, float, bool, None]


@dataclass(frozen=True)
class Number:
    """Column `source` of X; `fill` replaces `missing`: NaN, a number, or None."""

    source: int
    missing: float | None = None
    fill: float = 0.0


@dataclass(frozen=True)
class Missing:
    """1 where column `source` of X is `missing` (NaN or a number), else 0."""

    source: int
    missing: float


@dataclass(frozen=True)
class Category:
    """A column of a one-hot encoding: 1 where a lookup gives `code`, else 0.

    `lookup` is its place in `Columns.lookups`.
    """

    lookup: int
    code: int


@dataclass(frozen=True)
class Coded:
    """An ordinal encoding: a number for each code of a lookup.

    `lookup` is its place in `Columns.lookups`. The last of `values` is for what the lookup does not know.
    NaN where scikit-learn leaves the value missing: rows that meet it are refused, but by `passes_missing`.
    """

    lookup: int
    values: tuple[float, ...]


@dataclass(frozen=True)
class Lookup:
    """The code of each value of a column of X.

    Attributes
    ----------
    source : int
        Column of X.
    keys : tuple of str, int, float, bool or None
        Values that are known.
    codes : tuple of int
        Their codes, below `size`.
    nan : int or None
        The code of NaN; None where NaN is as unknown as any other value.
    size : int
        How many codes there are; what is not known gets the code `size`.
    unknown : {"error", "ignore", "warn", "warn_infrequent"}
        What a value that is not known means; the warnings differ in their texts.
    column : int
        Its column by the encoder's count, for texts.
    """

    source: int
    keys: tuple[Key, ...]
    codes: tuple[int, ...]
    nan: int | None
    size: int
    unknown: str
    column: int

    @cached_property
    def _code_of(self) -> dict[Key, int]:
        return dict(zip(self.keys, self.codes))

    def encode(self, values: Array) -> Array:
        """Return the codes of `values`, shape (n,), as int64.

        Raises
        ------
        InputError
            A value is infinite or not known, in scikit-learn's words.
        """
        code_of = self._code_of
        items = values.tolist()
        try:
            codes = np.array([code_of.get(item, -1) for item in items], dtype=np.int64)
        except TypeError:  # an item that has no hash
            raise InputError(f"Found unknown categories in column {self.column} during transform") from None
        unknown_rows = np.flatnonzero(codes < 0)
        if len(unknown_rows):
            if values.dtype.kind == "f" and np.isinf(values[unknown_rows]).any():
                raise InputError(f"Input contains infinity or a value too large for {values.dtype!r}.")
            unknown = []
            for row in unknown_rows.tolist():
                codes[row] = self.size
                if not _is_nan(items[row]):
                    unknown.append(items[row])
                elif self.nan is None:
                    unknown.append(math.nan)
                else:
                    codes[row] = self.nan
            if unknown and self.unknown != "ignore":
                self._report_unknown(list(dict.fromkeys(unknown)))
        return codes

    def _report_unknown(self, unknown: list[Any]) -> None:
        if self.unknown == "error":
            raise InputError(f"Found unknown categories {unknown} in column {self.column} during transform")
        become = "the infrequent category." if self.unknown == "warn_infrequent" else "all zeros"
        warnings.warn(
            f"Found unknown categories in columns [{self.column}] during transform. These unknown categories "
            f"will be encoded as {become}",
            stacklevel=6,
        )


Input = Union[Number, Missing, Category, Coded]


@dataclass(frozen=True)
class Columns:
    """How the network's inputs come from the columns of X.

    Attributes
    ----------
    n_features_in : int
        Columns of X.
    inputs : tuple of Number, Missing, Category or Coded
        One for each input of the network.
    lookups : tuple of Lookup
    checked : tuple of int
        Columns of X that must be finite numbers though no input takes them, because a step before a selector
        refuses anything else; of `passes_missing` also those that inputs take.
    by_name : bool
        A table with names is taken by name, whatever its order and its other columns: the first step is a
        ColumnTransformer.
    passes_missing : bool
        A feature step fills NaN, or the model accepts it: it is passed on but in the columns `checked`.
    """

    n_features_in: int
    inputs: tuple[Input, ...]
    lookups: tuple[Lookup, ...] = ()
    checked: tuple[int, ...] = ()
    by_name: bool = False
    passes_missing: bool = False

    @cached_property
    def named(self) -> frozenset[int] | None:
        """Columns that a table taken by name has to have; None: all of them, in order."""
        if not self.by_name:
            return None
        looked_up = {lookup.source for lookup in self.lookups}
        return frozenset(looked_up.union(self._examined.tolist()))

    @cached_property
    def _plain(self) -> tuple[Array, Array]:
        """Places among the inputs, and columns of X, of numbers that need no filling."""
        pairs = [
            (place, item.source)
            for place, item in enumerate(self.inputs)
            if isinstance(item, Number) and item.missing is None
        ]
        places, sources = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
        return places, sources

    @cached_property
    def _examined(self) -> Array:
        """Columns of X that must be numbers, in order."""
        numeric = {item.source for item in self.inputs if isinstance(item, (Number, Missing))}
        return np.array(sorted(numeric | set(self.checked)), dtype=np.intp)

    def take(self, X: Array, estimator: str) -> Array:
        """Compute the network's inputs, before the affine map.

        The result has shape (n, len(inputs)) and the dtype of X where that is of floats and nothing is looked
        up, else float64. X has shape (n, n_features_in) and any dtype: a
        mixed table is an array of objects. `estimator` is scikit-learn's class name, for the texts.

        Raises
        ------
        InputError
            A number is missing, infinite or no number, or a category is unknown; scikit-learn's text.
        """
        # scikit-learn's imputers keep the dtype of floats; encoders give float64.
        keeps_dtype = X.dtype.kind == "f" and not self.lookups
        inputs = np.empty((len(X), len(self.inputs)), dtype=X.dtype if keeps_dtype else np.float64)
        numbers = self._numbers(X)
        places, sources = self._plain
        at = np.searchsorted(self._examined, sources)
        inputs[:, places] = numbers[:, at]
        if self.checked:
            reader = f"A step in front of {estimator}" if self.passes_missing else estimator
            check_finite(numbers[:, np.searchsorted(self._examined, self.checked)], reader)
        codes = [lookup.encode(X[:, lookup.source]) for lookup in self.lookups]
        for place, column_input in enumerate(self.inputs):
            if isinstance(column_input, Category):
                inputs[:, place] = codes[column_input.lookup] == column_input.code
            elif isinstance(column_input, Coded):
                inputs[:, place] = np.array(column_input.values)[codes[column_input.lookup]]
            elif column_input.missing is not None:
                column = numbers[:, np.searchsorted(self._examined, column_input.source)]
                missing = (
                    np.isnan(column) if math.isnan(column_input.missing) else column == column_input.missing
                )
                if isinstance(column_input, Number):
                    inputs[:, place] = np.where(missing, column_input.fill, column)
                else:
                    # Not refused by what follows, since 0 and 1 are finite.
                    if not np.isfinite(column[~missing]).all():
                        check_finite(column[~missing], estimator)
                    inputs[:, place] = missing
        check_finite(inputs[~np.isnan(inputs)] if self.passes_missing else inputs, estimator)
        return inputs

    def _numbers(self, X: Array) -> Floats:
        """Return the examined columns as float64."""
        examined = X if len(self._examined) == X.shape[1] else X[:, self._examined]
        try:
            return np.asarray(examined, dtype=np.float64)
        except (TypeError, ValueError):
            pass
        # The slow way, which also takes pandas.NA.
        numbers = np.empty(examined.shape)
        for row, column in np.ndindex(*examined.shape):
            value = examined[row, column]
            try:
                numbers[row, column] = math.nan if _is_nan(value) else value
            except (TypeError, ValueError) as error:
                raise InputError(str(error)) from None
        return numbers


def _is_nan(value: Any) -> bool:
    try:
        return bool(value != value)
    except (TypeError, ValueError):  # pandas.NA does not say what it equals
        return type(value).__name__ == "NAType"
