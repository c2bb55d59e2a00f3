"""Features that are polynomials of columns: products, and pieces between knots."""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Floats, Ints
from scirknn.errors import InputError
from scirknn.steps.step import Step, step

EXTRAPOLATIONS = ("pieces", "periodic", "error")
"""What lies beyond the knots: the first and the last piece, the same again, or a refusal."""


@step("products")
class Products(Step):
    """Multiply columns with each other.

    Attributes
    ----------
    columns : int
        How many it takes.
    factors : numpy.ndarray of int64, shape (k, degree)
        The columns that each product takes; the number `columns` itself stands for a factor of 1.
    """

    columns: int
    factors: Ints

    def __post_init__(self) -> None:
        factors = self.factors
        if factors.ndim != 2 or not factors.size or factors.min() < 0 or factors.max() > self.columns:
            raise self.fault(f"has factors of shape {factors.shape} that are no columns of {self.columns}")

    def width(self, columns: int) -> int:
        self.require_columns(self.columns, columns)
        return len(self.factors)

    def apply(self, values: Floats) -> Floats:
        extended = np.hstack([values, np.ones((len(values), 1))])
        product = extended[:, self.factors[:, 0]]
        for factors in self.factors.T[1:]:
            product = product * extended[:, factors]
        return product

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound ``(a + d)(b + e) - ab`` by ``|a| e + (|b| + e) d``, one factor after the other."""
        extended = np.hstack([values, np.ones((len(values), 1))])
        errors = np.hstack([error, np.zeros((len(values), 1))])
        product, bound = extended[:, self.factors[:, 0]], errors[:, self.factors[:, 0]]
        for factors in self.factors.T[1:]:
            factor, own = extended[:, factors], errors[:, factors]
            bound = np.abs(product) * own + (np.abs(factor) + own) * bound
            product = product * factor
        return bound


@step("pieces")
class Pieces(Step):
    """Compute polynomials of each column, others in each of its intervals.

    Attributes
    ----------
    edges : numpy.ndarray of float64, shape (columns, pieces - 1)
        Where the next piece begins, ascending; inf for pieces that a column does not have.
    anchors : numpy.ndarray of float64, shape (columns, pieces)
        What is subtracted from a value before its powers are taken.
    coefficients : numpy.ndarray of float64, shape (columns, pieces, degree + 1, k)
        Those of each power, the highest one first, for the k features that a column makes.
    beyond : {"pieces", "periodic", "error"}
        What a value below the first or above the last edge means.
    ends : numpy.ndarray of float64, shape (columns, 2)
        The least and the greatest value of each column between its knots.
    """

    edges: Floats
    anchors: Floats
    coefficients: Floats
    beyond: str
    ends: Floats

    def __post_init__(self) -> None:
        shape = self.coefficients.shape
        wants = ((shape[0], shape[1] - 1), shape[:2], (shape[0], 2)) if len(shape) == 4 else ()
        if (self.edges.shape, self.anchors.shape, self.ends.shape) != wants or not self.coefficients.size:
            raise self.fault(f"has shapes {self.edges.shape} and {shape}")
        if not (self.edges[:, 1:] >= self.edges[:, :-1]).all():
            raise self.fault("has edges in no order")
        self.require_choice("beyond", EXTRAPOLATIONS)

    def width(self, columns: int) -> int:
        self.require_columns(len(self.edges), columns)
        return int(columns * self.coefficients.shape[3])

    def apply(self, values: Floats) -> Floats:
        low, high = self.ends.T
        if self.beyond == "error" and ((values < low) | (values > high)).any():
            raise InputError("`X` contains values beyond the limits of the knots.")
        if self.beyond == "periodic":
            period = np.where(high > low, high - low, 1.0)
            values = np.where(high > low, low + (values - low) % period, 0.0)
        return np.hstack([self._column(index, column) for index, column in enumerate(values.T)])

    def _column(self, index: int, values: Floats) -> Floats:
        pieces = np.searchsorted(self.edges[index], values, side="right")
        distance = (values - self.anchors[index][pieces])[:, None]
        powers = self.coefficients[index][pieces]
        result: Floats = powers[:, 0]
        for place in range(1, powers.shape[1]):
            result = result * distance + powers[:, place]
        return result

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Return inf where there is an error: its pieces may have any slope."""
        width = self.coefficients.shape[3]
        return np.repeat(np.where(error > 0, np.inf, 0.0), width, axis=1)
