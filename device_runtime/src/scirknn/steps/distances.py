"""Steps about the nearest of some points, and distances from them."""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Floats, Ints
from scirknn.steps.step import Monotonic, RowStep, Step, step


@step("distances")
class Distances(RowStep):
    """Give the Euclidean distance from each point, in float64, whatever the values are.

    Attributes
    ----------
    points : numpy.ndarray of float64, shape (k, inputs)
    unit : float
        Of the distances, in units of the inputs.
    """

    points: Floats
    unit: float

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or not self.points.size:
            raise self.fault(f"has points of shape {self.points.shape}")

    def width(self, columns: int) -> int:
        return len(self.points)

    @property
    def inputs(self) -> int:
        return int(self.points.shape[1])

    def apply_to(self, values: Floats, rows: Floats) -> Floats:
        distances = np.empty((len(rows), len(self.points)))
        for place, point in enumerate(self.points):
            distances[:, place] = np.sqrt(np.square(rows - point).sum(axis=1))
        return distances * self.unit

    def carry_to(self, values: Floats, error: Floats, rows: Floats) -> Floats:
        return np.zeros((len(rows), len(self.points)))


@step("less_squared_norm")
class LessSquaredNorm(RowStep):
    """Subtract ``sum((x * factors) ** 2)`` of a row x from all its values.

    Attributes
    ----------
    factors : numpy.ndarray of float64, shape (inputs,)
    """

    factors: Floats

    def __post_init__(self) -> None:
        if self.factors.ndim != 1:
            raise self.fault(f"has factors of shape {self.factors.shape}")

    @property
    def inputs(self) -> int:
        return len(self.factors)

    def apply_to(self, values: Floats, rows: Floats) -> Floats:
        norms = np.square(rows * self.factors).sum(axis=1)
        return np.asarray(values - norms[:, None])

    def carry_to(self, values: Floats, error: Floats, rows: Floats) -> Floats:
        return error


@step("largest_of_groups")
class LargestOfGroups(Monotonic):
    """Take the largest value of each group of columns.

    Attributes
    ----------
    groups : numpy.ndarray of int64, shape (columns,)
        The group of each column: 0 to one less than there are, each of them at least once.
    """

    groups: Ints

    def __post_init__(self) -> None:
        named = np.unique(self.groups)
        if self.groups.ndim != 1 or not len(named) or (named != np.arange(len(named))).any():
            raise self.fault("has numbers of groups that are not 0, 1, 2, ...")

    def width(self, columns: int) -> int:
        self.require_columns(len(self.groups), columns)
        return int(self.groups.max()) + 1

    def apply(self, values: Floats) -> Floats:
        order = np.argsort(self.groups, kind="stable")
        starts = np.searchsorted(self.groups[order], np.arange(self.groups.max() + 1))
        return np.asarray(np.maximum.reduceat(values[:, order], starts, axis=1))


@step("descent")
class Descent(Step):
    """Give each leaf of a tree the least that speaks for it on its path: above 0 where it is reached.

    Attributes
    ----------
    signs : numpy.ndarray of int64, shape (leaves, columns)
        1 where the leaf is reached by a positive value of an inner node, -1 by a negative one, 0 where its
        path does not pass there.
    """

    signs: Ints

    def __post_init__(self) -> None:
        if self.signs.ndim != 2 or not (
            self.signs.any(axis=1).all() and np.isin(self.signs, (-1, 0, 1)).all()
        ):
            raise self.fault(f"has no paths in signs of shape {self.signs.shape}")

    def width(self, columns: int) -> int:
        self.require_columns(self.signs.shape[1], columns)
        return len(self.signs)

    def apply(self, values: Floats) -> Floats:
        least = [(values[:, path != 0] * path[path != 0]).min(axis=1) for path in self.signs]
        return np.stack(least, axis=1)

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error: a least number moves by no more than the one that moves most."""
        return np.stack([error[:, path != 0].max(axis=1) for path in self.signs], axis=1)
