"""What the host computes before and after the network: steps, and their registry.

A step is a class in a module of this folder, which `step` makes a frozen dataclass::

    @step("shift")
    class Shift(Step):
        offset: Floats

        def apply(self, values): ...

Its fields are its description in a bundle: numbers, texts and tuples of them as JSON, arrays in the bundle's
file of arrays. Converter and runtime import the same class, so a file is checked by what the board computes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable, ClassVar, Iterable, Sequence, Type, TypeVar

import numpy as np

from scirknn.arrays import Array, Floats

if TYPE_CHECKING:
    from typing_extensions import dataclass_transform as _dataclass_transform
else:

    def _dataclass_transform(**_: Any) -> Any:
        return lambda function: function


OWN_ROUNDING = 2.0**-50
"""Share of a value that some operations of float64 in another order than scikit-learn's may change."""


class Step:
    """A map from rows of float64, shape (n, columns), to rows of float64.

    Attributes
    ----------
    gives_integers : bool
        Whether what it gives is an array of int64 where a method of the model returns it.
    """

    kind: ClassVar[str]
    gives_integers: ClassVar[bool] = False

    @property
    def held(self) -> tuple[Step, ...]:
        """The steps that it computes itself: those in its fields."""
        lists = (value for value in vars(self).values() if isinstance(value, tuple))
        return tuple(each for values in lists for each in values if isinstance(each, Step))

    @property
    def stretches(self) -> bool:
        """Whether an error counts by the size of the value that it meets, without end.

        Behind such a step the errors of one row say nothing of another's.
        """
        return any(each.stretches for each in self.held)

    @property
    def jumps(self) -> bool:
        """Whether the least change of a value can change the result by much: the step compares or cuts off.

        What stands in front of such a step is computed in scikit-learn's order of operations.
        """
        return any(each.jumps for each in self.held)

    @property
    def keeps_dtype(self) -> bool:
        """Whether `apply` takes rows of float32 as well, and rounds to that as scikit-learn does."""
        return False

    @property
    def accepts_missing(self) -> bool:
        """Whether NaN among the values means something to the step; others spoil their result with it."""
        return False

    def width(self, columns: int) -> int:
        """Return how many columns the step makes of so many.

        Raises
        ------
        ValueError
            It does not take so many.
        """
        return columns

    def fault(self, text: str) -> ValueError:
        """Return the error for fields or columns that the step cannot have."""
        return ValueError(f"the step {self.kind!r} {text}")

    def require_columns(self, expected: int, columns: int) -> int:
        """Return `columns`, or raise ValueError where the step takes another number of them."""
        if columns != expected:
            raise self.fault(f"takes {expected} columns, not {columns}")
        return columns

    def require_column(self, last: int, columns: int) -> None:
        """Raise ValueError where the last column that the step takes is not there."""
        if last >= columns:
            raise self.fault(f"takes column {last} of {columns}")

    def require_choice(self, field: str, choices: Sequence[str]) -> None:
        """Raise ValueError where a field is none of the choices."""
        value = getattr(self, field)
        if value not in choices:
            raise self.fault(f"has {value!r:.60} for its {field}, not one of {', '.join(choices)}")

    def apply(self, values: Floats) -> Floats:
        """Compute the step, shape (n, columns) to (n, width(columns))."""
        raise NotImplementedError

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error of ``apply(values)``.

        Parameters
        ----------
        values : numpy.ndarray of float64, shape (n, columns)
            The exact ones.
        error : numpy.ndarray of float64, shape (n, columns)
            How far from these the values may be that the step is given; inf where nothing is known.

        Returns
        -------
        numpy.ndarray of float64, shape (n, width(columns))
            Without the step's own rounding, some units of float64; but where a steep step may stretch them
            (`OWN_ROUNDING`).
        """
        raise NotImplementedError


class Monotonic(Step):
    """A step whose result falls nowhere, or rises nowhere, while a value rises: the ends bound its error."""

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error by what the step does at both ends; inf where it is not defined there."""
        here, low, high = self.apply(values), self.apply(values - error), self.apply(values + error)
        with np.errstate(invalid="ignore"):
            bound = np.maximum(np.abs(high - here), np.abs(here - low))
        # Infinite at an end as here is no error.
        return np.where((here == low) & (here == high), 0.0, bound)


class RowStep(Step):
    """A step behind the network that also takes its inputs, float64 of shape (n, inputs).

    They are what `features` return: the inputs after columns, the map of a pipeline's scalers and features.
    """

    @property
    def inputs(self) -> int | None:
        """How many inputs of the network the step takes; None: any number."""
        return None

    def apply_to(self, values: Floats, rows: Floats) -> Floats:
        """Compute the step for values of these rows."""
        raise NotImplementedError

    def carry_to(self, values: Floats, error: Floats, rows: Floats) -> Floats:
        """Bound the error of ``apply_to(values, rows)``, as `Step.carry` does."""
        raise NotImplementedError


KINDS: dict[str, type[Step]] = {}
"""The steps by their kind; `scirknn.steps.description` imports every module of this folder."""

_Kind = TypeVar("_Kind", bound=Type[Step])


@_dataclass_transform(frozen_default=True, eq_default=False)
def step(kind: str) -> Callable[[_Kind], _Kind]:
    """Make the decorated class a frozen dataclass, registered by the name that bundles know it by."""

    def register(chosen: _Kind) -> _Kind:
        dataclass(frozen=True, eq=False)(chosen)
        chosen.kind = kind
        KINDS[kind] = chosen
        return chosen

    return register


def take_rows(steps: Iterable[Step]) -> bool:
    """Whether one of the steps takes the network's inputs too."""
    return any(isinstance(each, RowStep) for each in steps)


def width_after(steps: Iterable[Step], columns: int) -> int:
    """Return how many columns steps make of so many.

    Raises
    ------
    ValueError
        One does not take what the one before makes.
    """
    for each in steps:
        columns = each.width(columns)
    return columns


def apply_steps(steps: Sequence[Step], values: Array, rows: Floats | None = None) -> Array:
    """Compute steps one after the other; without any the values are returned as they are.

    The result has the dtype of `values`. What is infinite for scikit-learn is infinite.

    Parameters
    ----------
    steps : sequence of Step
    values : numpy.ndarray, shape (n, columns)
    rows : numpy.ndarray of float64, shape (n, inputs), optional
        The network's inputs, which a `RowStep` takes.
    """
    if not steps:
        return values
    result, dtype = values, values.dtype
    with np.errstate(over="ignore", under="ignore"):
        for each in steps:
            if not each.keeps_dtype:
                result = np.asarray(result, dtype=np.float64)
            if isinstance(each, RowStep):
                assert rows is not None, "a RowStep is given its rows"
                result = each.apply_to(result, rows)
            else:
                result = each.apply(result)
    return result.astype(dtype, copy=False)


def apply_in_front(steps: Sequence[Step], rows: Array) -> Array:
    """Compute steps in front of a network, in the dtype of the rows where each step keeps it.

    Where one does not, all compute in float64.
    """
    keeps = rows.dtype.kind == "f" and all(each.keeps_dtype for each in steps)
    return apply_steps(steps, rows if keeps else np.asarray(rows, dtype=np.float64))


def carry_steps(
    steps: Iterable[Step], values: Floats, error: Floats, rows: Floats | None = None
) -> tuple[Floats, Floats]:
    """Return values behind steps, and their error for one of the values before.

    Parameters are those of `Step.carry` and `apply_steps`.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        for each in steps:
            if isinstance(each, RowStep):
                assert rows is not None, "a RowStep is given its rows"
                values, error = each.apply_to(values, rows), each.carry_to(values, error, rows)
            else:
                values, error = each.apply(values), each.carry(values, error)
            error = np.where(np.isnan(error), np.inf, error)
    return values, error
