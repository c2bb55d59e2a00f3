"""The network's input columns from the columns of X: picked, filled, looked up.

What stands before a network in a pipeline and is no arithmetic (selectors, imputers, encoders, and which
transformer takes which column) is one list of small operations, one for each input of the network. Each takes
a whole block of rows; the affine map of the bundle follows.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Callable, NoReturn, Union

import numpy as np

from scirknn.errors import InputError
from scirknn.validation import check_finite

if TYPE_CHECKING:
    from scirknn._typing import Array, Float64Array

__all__ = ["Category", "Coded", "Columns", "Input", "Lookup", "Missing", "Number", "document", "parse"]

UNKNOWN = ("error", "ignore", "warn")

Key = Union[str, int, float, bool, None]


@dataclass(frozen=True)
class Number:
    """A column of X as it is, its missing values filled.

    Attributes
    ----------
    source : int
        Column of X.
    missing : float or None
        What stands for a missing value: NaN or a number. None: nothing is filled.
    fill : float
    """

    source: int
    missing: float | None = None
    fill: float = 0.0


@dataclass(frozen=True)
class Missing:
    """1 where a column of X is missing, else 0.

    Attributes
    ----------
    source : int
    missing : float
        As in `Number`.
    """

    source: int
    missing: float


@dataclass(frozen=True)
class Category:
    """1 where a lookup gives a code, else 0: a column of a one-hot encoding.

    Attributes
    ----------
    lookup : int
        Index into `Columns.lookups`.
    code : int
    """

    lookup: int
    code: int


@dataclass(frozen=True)
class Coded:
    """A number for each code of a lookup: an ordinal encoding.

    Attributes
    ----------
    lookup : int
    values : tuple of float
        By code; the last one is for what the lookup does not know. NaN where scikit-learn leaves the value
        missing: rows that meet it are refused.
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
    unknown : {"error", "ignore", "warn"}
        What a value that is not known means.
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
            A value is not known, in scikit-learn's words.
        """
        code_of = self._code_of
        items = values.tolist()
        try:
            codes = np.array([code_of.get(item, -1) for item in items], dtype=np.int64)
        except TypeError:  # an item that has no hash
            raise InputError(f"Found unknown categories in column {self.column} during transform") from None
        strange = np.flatnonzero(codes < 0)
        if len(strange):
            unknown = []
            for row in strange.tolist():
                codes[row] = self.size
                if not _is_nan(items[row]):
                    unknown.append(items[row])
                elif self.nan is None:
                    unknown.append(math.nan)
                else:
                    codes[row] = self.nan
            if unknown and self.unknown != "ignore":
                self._tell(list(dict.fromkeys(unknown)))
        return codes

    def _tell(self, unknown: list[Any]) -> None:
        if self.unknown == "error":
            raise InputError(f"Found unknown categories {unknown} in column {self.column} during transform")
        warnings.warn(
            f"Found unknown categories in columns [{self.column}] during transform. These unknown categories "
            "will be encoded as all zeros",
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
        Columns of X that no input takes and that must be finite numbers all the same, because a step before
        a selector refuses anything else.
    by_name : bool
        A table with names is taken by name, whatever its order and its other columns: the first step is a
        ColumnTransformer.
    """

    n_features_in: int
    inputs: tuple[Input, ...]
    lookups: tuple[Lookup, ...] = ()
    checked: tuple[int, ...] = ()
    by_name: bool = False

    @cached_property
    def named(self) -> frozenset[int] | None:
        """Columns of X that a table taken by name has to have; None: all of them, in order."""
        if not self.by_name:
            return None
        looked_up = {lookup.source for lookup in self.lookups}
        return frozenset(looked_up.union(self._examined.tolist()))

    @cached_property
    def _plain(self) -> tuple[Array, Array]:
        """Places among the inputs, and columns of X, of numbers that need no filling."""
        pairs = [
            (place, each.source)
            for place, each in enumerate(self.inputs)
            if isinstance(each, Number) and each.missing is None
        ]
        places, sources = np.array(pairs, dtype=np.intp).reshape(-1, 2).T
        return places, sources

    @cached_property
    def _examined(self) -> Array:
        """Columns of X that must be numbers, in order."""
        numeric = {each.source for each in self.inputs if isinstance(each, (Number, Missing))}
        return np.array(sorted(numeric | set(self.checked)), dtype=np.intp)

    def take(self, X: Array, estimator: str) -> Float64Array:
        """Compute the network's inputs, before the affine map.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, n_features_in)
            Any dtype: a mixed table is an array of objects.
        estimator : str
            scikit-learn's class name, for the texts.

        Returns
        -------
        numpy.ndarray of float64, shape (n, len(inputs))

        Raises
        ------
        InputError
            A number is missing, infinite or no number, or a category is unknown; scikit-learn's text.
        """
        inputs = np.empty((len(X), len(self.inputs)))
        numbers = self._numbers(X)
        places, sources = self._plain
        at = np.searchsorted(self._examined, sources)
        inputs[:, places] = numbers[:, at]
        if self.checked:
            check_finite(numbers[:, np.searchsorted(self._examined, self.checked)], estimator)
        codes = [lookup.encode(X[:, lookup.source]) for lookup in self.lookups]
        for place, each in enumerate(self.inputs):
            if isinstance(each, Category):
                inputs[:, place] = codes[each.lookup] == each.code
            elif isinstance(each, Coded):
                inputs[:, place] = np.array(each.values)[codes[each.lookup]]
            elif each.missing is not None:
                column = numbers[:, np.searchsorted(self._examined, each.source)]
                missing = np.isnan(column) if math.isnan(each.missing) else column == each.missing
                if isinstance(each, Number):
                    inputs[:, place] = np.where(missing, each.fill, column)
                else:
                    # Not refused by what follows, since 0 and 1 are finite.
                    if not np.isfinite(column[~missing]).all():
                        check_finite(column[~missing], estimator)
                    inputs[:, place] = missing
        check_finite(inputs, estimator)
        return inputs

    def _numbers(self, X: Array) -> Float64Array:
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


def document(columns: Columns) -> dict[str, Any]:
    """Return the columns as JSON takes them, with null for NaN."""

    def number(value: float) -> float | None:
        return None if math.isnan(value) else value

    inputs: list[dict[str, Any]] = []
    for each in columns.inputs:
        if isinstance(each, Category):
            inputs.append({"lookup": each.lookup, "is": each.code})
        elif isinstance(each, Coded):
            inputs.append({"lookup": each.lookup, "values": [number(value) for value in each.values]})
        elif isinstance(each, Missing):
            inputs.append({"from": each.source, "is_missing": number(each.missing)})
        elif each.missing is not None:
            inputs.append({"from": each.source, "missing": number(each.missing), "fill": each.fill})
        else:
            inputs.append({"from": each.source})
    return {
        "by_name": columns.by_name,
        "checked": list(columns.checked),
        "inputs": inputs,
        "lookups": [
            {
                "from": lookup.source,
                "keys": list(lookup.keys),
                "codes": list(lookup.codes),
                "nan": lookup.nan,
                "size": lookup.size,
                "unknown": lookup.unknown,
                "column": lookup.column,
            }
            for lookup in columns.lookups
        ],
    }


def parse(value: Any, n_features_in: int, fail: Callable[[str], Any]) -> Columns:
    """Read what `document` wrote.

    Parameters
    ----------
    value : object
        From JSON, of any form.
    n_features_in : int
    fail : callable
        Called with what is wrong; raises.
    """
    return _Parser(n_features_in, fail).columns(value)


class _Parser:
    """Takes columns out of JSON, strictly."""

    def __init__(self, n_features_in: int, fail: Callable[[str], Any]) -> None:
        self.n_features_in, self._fail = n_features_in, fail
        self.sizes: list[int] = []

    def fail(self, why: str) -> NoReturn:
        self._fail(f"'columns' {why}")
        raise AssertionError

    def columns(self, value: Any) -> Columns:
        value = self.entry(value, "entry", {"by_name", "checked", "inputs", "lookups"})
        if not isinstance(value["by_name"], bool):
            self.fail("has a by_name that is neither true nor false")
        lookups = tuple(self.lookup(each) for each in self.list(value["lookups"]))
        self.sizes = [each.size for each in lookups]
        inputs = tuple(self.input(each) for each in self.list(value["inputs"]))
        if not inputs:
            self.fail("has no inputs")
        checked = tuple(self.index(each, self.n_features_in) for each in self.list(value["checked"]))
        return Columns(self.n_features_in, inputs, lookups, checked, value["by_name"])

    def input(self, value: Any) -> Input:
        if not isinstance(value, dict):
            self.fail("has an input of another form")
        keys = set(value)
        if keys == {"from"}:
            return Number(self.source(value))
        if keys == {"from", "missing", "fill"}:
            return Number(self.source(value), self.number(value["missing"]), self.finite(value["fill"]))
        if keys == {"from", "is_missing"}:
            return Missing(self.source(value), self.number(value["is_missing"]))
        if keys == {"lookup", "is"}:
            lookup = self.index(value["lookup"], len(self.sizes))
            return Category(lookup, self.index(value["is"], self.sizes[lookup]))
        if keys == {"lookup", "values"}:
            lookup = self.index(value["lookup"], len(self.sizes))
            values = tuple(self.number(each) for each in self.list(value["values"]))
            if len(values) != self.sizes[lookup] + 1:
                self.fail(f"has {len(values)} values for a lookup of {self.sizes[lookup]} codes")
            return Coded(lookup, values)
        return self.fail("has an input of another form")

    def lookup(self, value: Any) -> Lookup:
        value = self.entry(value, "lookup", {"from", "keys", "codes", "nan", "size", "unknown", "column"})
        size = self.index(value["size"], 1 << 31)
        keys = self.list(value["keys"])
        if not all(key is None or isinstance(key, (str, int, float)) for key in keys):
            self.fail("has a lookup with a key that is no text or number")
        if any(isinstance(key, float) and not math.isfinite(key) for key in keys):
            self.fail("has a lookup with a key that is not finite")
        if len(set(keys)) != len(keys):
            self.fail("has a lookup with a key twice")
        codes = tuple(self.index(each, size) for each in self.list(value["codes"]))
        if len(codes) != len(keys):
            self.fail(f"has a lookup of {len(keys)} keys and {len(codes)} codes")
        if value["unknown"] not in UNKNOWN:
            self.fail(f"has a lookup whose unknown is {value['unknown']!r:.60}, not {', '.join(UNKNOWN)}")
        return Lookup(
            source=self.source(value),
            keys=tuple(keys),
            codes=codes,
            nan=None if value["nan"] is None else self.index(value["nan"], size),
            size=size,
            unknown=value["unknown"],
            column=self.index(value["column"], 1 << 31),
        )

    def source(self, value: dict[str, Any]) -> int:
        return self.index(value["from"], self.n_features_in)

    def entry(self, value: Any, what: str, keys: set[str]) -> dict[str, Any]:
        if not isinstance(value, dict) or set(value) != keys:
            self.fail(f"has no {what} with {', '.join(sorted(keys))} and nothing else")
        return value

    def list(self, value: Any) -> list[Any]:
        if not isinstance(value, list):
            self.fail("has no list where one belongs")
        return value

    def index(self, value: Any, end: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < end:
            self.fail(f"names {value!r:.60}, where there are {end}")
        return value

    def number(self, value: Any) -> float:
        return math.nan if value is None else self.finite(value)

    def finite(self, value: Any) -> float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                if math.isfinite(value):
                    return float(value)
            except OverflowError:
                pass
        return self.fail(f"has {value!r:.60} where a number belongs")
