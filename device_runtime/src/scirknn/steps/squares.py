"""Quadratic forms: the network computes ``u = (x - m) P``, the host squares and sums."""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Floats
from scirknn.steps.step import Monotonic, RowStep, Step, step


@step("squares")
class Squares(Step):
    """Sum the squares of neighbouring columns: ``v_k = c_k + f * sum(u_i^2)`` over group k.

    Attributes
    ----------
    groups : tuple of int
        Columns of each group, at least 1.
    constants : tuple of float
        One for each group.
    factor : float
    """

    stretches = True

    groups: tuple[int, ...]
    constants: tuple[float, ...]
    factor: float

    def __post_init__(self) -> None:
        if not self.groups or min(self.groups) < 1 or len(self.constants) != len(self.groups):
            raise self.fault(
                f"has {len(self.constants)} constants for {len(self.groups)} groups of at "
                f"least {min(self.groups, default=0)} columns"
            )

    def width(self, columns: int) -> int:
        self.require_columns(sum(self.groups), columns)
        return len(self.groups)

    def apply(self, values: Floats) -> Floats:
        return np.asarray(np.array(self.constants) + self.factor * self._sums(values * values))

    def carry(self, values: Floats, error: Floats) -> Floats:
        return np.asarray(abs(self.factor) * self._sums((2.0 * np.abs(values) + error) * error))

    def _sums(self, squares: Floats) -> Floats:
        starts = np.cumsum((0, *self.groups[:-1]))
        return np.asarray(np.add.reduceat(squares, starts, axis=1))


@step("log_sum")
class LogSum(Monotonic):
    """Return the logarithm of the sum of the values' exponentials, one column."""

    def width(self, columns: int) -> int:
        return 1

    def apply(self, values: Floats) -> Floats:
        most = values.max(axis=1, keepdims=True)
        return np.asarray(most + np.log(np.exp(values - most).sum(axis=1, keepdims=True)))


@step("log_normal")
class LogNormal(RowStep):
    """Give the logarithm of a normal density around 0 of each row x, whatever the values are.

    It is ``constant - (sum(diagonal * x^2) + sign * |matrix x|^2) / 2``.

    Attributes
    ----------
    diagonal : numpy.ndarray of float64, shape (inputs,)
    matrix : numpy.ndarray of float64, shape (k, inputs)
    sign : {-1, 1}
    constant : float
    """

    diagonal: Floats
    matrix: Floats
    sign: int
    constant: float

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or self.diagonal.shape != self.matrix.shape[1:] or self.sign not in (-1, 1):
            raise self.fault(
                f"has shapes {self.diagonal.shape} and {self.matrix.shape} and the sign {self.sign}"
            )

    def width(self, columns: int) -> int:
        return 1

    @property
    def inputs(self) -> int:
        return len(self.diagonal)

    def apply_to(self, values: Floats, rows: Floats) -> Floats:
        square = (rows * rows) @ self.diagonal + self.sign * np.square(rows @ self.matrix.T).sum(axis=1)
        return np.asarray(self.constant - square / 2)[:, None]

    def carry_to(self, values: Floats, error: Floats, rows: Floats) -> Floats:
        """Bound what float64 leaves of sums that cancel and of the determinant, here and in scikit-learn.

        A sum of n products errs by ``n 2^-53`` of their sizes, a square of one by twice that. A determinant's
        logarithm errs by ``n 2^-53`` of the condition of its matrix, once that is scaled to a diagonal of 1
        (Higham, Accuracy and Stability of Numerical Algorithms, 2002, chapter 14).
        """
        precision = np.diag(self.diagonal) + self.sign * self.matrix.T @ self.matrix
        if not (np.diag(precision) > 0).all():
            return np.full((len(rows), 1), np.inf)
        scale = 1.0 / np.sqrt(np.diag(precision))
        shares = np.linalg.eigvalsh(precision * scale * scale[:, None])
        sizes = np.abs(rows)
        terms = (sizes * sizes) @ np.abs(self.diagonal) + np.square(sizes @ np.abs(self.matrix.T)).sum(axis=1)
        terms += shares[-1] / max(shares[0], 2.0**-52)
        return np.asarray(self.inputs * 2.0**-51 * terms)[:, None]
