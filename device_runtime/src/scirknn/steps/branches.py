"""Steps of some columns, beside others that are passed on."""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Floats, Ints
from scirknn.input_checks import check_finite
from scirknn.steps.step import Step, apply_steps, carry_steps, step, take_rows, width_after


@step("branch")
class Branch(Step):
    """Pass some columns on, and append what steps compute of some.

    Attributes
    ----------
    kept : numpy.ndarray of int64, shape (m,)
        Columns that are passed on, in their new order.
    taken : numpy.ndarray of int64, shape (k,)
        Columns that the steps take.
    steps : tuple of Step
    """

    kept: Ints
    taken: Ints
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if self.kept.ndim != 1 or self.taken.ndim != 1 or not len(self.kept) + len(self.taken):
            raise self.fault(f"has shapes {self.kept.shape} and {self.taken.shape}")
        if min(self.kept.min(initial=0), self.taken.min(initial=0)) < 0:
            raise self.fault("takes a negative column")
        if take_rows(self.steps):
            raise self.fault("holds a step that takes rows")

    @property
    def keeps_dtype(self) -> bool:
        return all(each.keeps_dtype for each in self.steps)

    def width(self, columns: int) -> int:
        self.require_column(int(max(self.kept.max(initial=0), self.taken.max(initial=0))), columns)
        return len(self.kept) + width_after(self.steps, len(self.taken))

    def apply(self, values: Floats) -> Floats:
        return np.hstack([values[:, self.kept], apply_steps(self.steps, values[:, self.taken])])

    def carry(self, values: Floats, error: Floats) -> Floats:
        _, carried = carry_steps(self.steps, values[:, self.taken], error[:, self.taken])
        return np.hstack([error[:, self.kept], carried])


@step("finite")
class Finite(Step):
    """Refuse values that are not finite, in scikit-learn's words.

    Attributes
    ----------
    estimator : str
        scikit-learn's class that refuses them, for the text.
    allow_nan : bool
        NaN is passed on.
    """

    keeps_dtype = True

    estimator: str
    allow_nan: bool

    def apply(self, values: Floats) -> Floats:
        check_finite(values[~np.isnan(values)] if self.allow_nan else values, self.estimator)
        return values

    def carry(self, values: Floats, error: Floats) -> Floats:
        return error
