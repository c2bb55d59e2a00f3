"""Missing values behind other steps: found, filled with constants, or from the nearest rows of fit."""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Array, Floats, Ints
from scirknn.steps.step import Step, step

_CHUNK = 256
"""Rows whose distances are computed together."""


@step("fill")
class Fill(Step):
    """Replace NaN by a constant of each column.

    Attributes
    ----------
    values : numpy.ndarray of float64, shape (columns,)
    """

    keeps_dtype = True

    values: Floats

    def __post_init__(self) -> None:
        if self.values.ndim != 1 or not np.isfinite(self.values).all():
            raise self.fault(f"has {self.values.shape} values, or one that is not finite")

    def width(self, columns: int) -> int:
        return self.require_columns(len(self.values), columns)

    def apply(self, values: Floats) -> Floats:
        return np.where(np.isnan(values), self.values.astype(values.dtype), values)

    def carry(self, values: Floats, error: Floats) -> Floats:
        return np.where(np.isnan(values), 0.0, error)


@step("gaps")
class Gaps(Step):
    """Say where NaN is: 1 there, else 0."""

    keeps_dtype = True

    def apply(self, values: Floats) -> Floats:
        return np.isnan(values).astype(values.dtype)

    def carry(self, values: Floats, error: Floats) -> Floats:
        return np.zeros_like(error)


@step("nearest_fill")
class NearestFill(Step):
    """Replace missing values by means over the nearest rows of fit that have the column.

    As `sklearn.impute.KNNImputer` does. A distance counts the columns that both rows have (Dixon 1979,
    Pattern recognition with partly missing data), as if there were all.

    Attributes
    ----------
    points : numpy.ndarray of float64, shape (n, columns)
        The rows of fit, with 0 for what is missing.
    present : numpy.ndarray of int64, shape (n, columns)
        1 where a value is there, else 0.
    neighbors : int
    by_distance : bool
        Values are weighted by the inverse of their distance.
    """

    jumps = True

    points: Floats
    present: Ints
    neighbors: int
    by_distance: bool

    def __post_init__(self) -> None:
        if self.points.ndim != 2 or not self.points.size or self.present.shape != self.points.shape:
            raise self.fault(f"has shapes {self.points.shape} and {self.present.shape}")
        if self.neighbors < 1 or not np.isin(self.present, (0, 1)).all():
            raise self.fault(f"has {self.neighbors} neighbors, or a presence that is not 0 or 1")

    def width(self, columns: int) -> int:
        self.require_columns(2 * self.points.shape[1], columns)
        return int(self.points.shape[1])

    def apply(self, values: Floats) -> Floats:
        """Fill values; behind their columns, those of 1 say where one is missing and 0 stands for it."""
        columns = self.points.shape[1]
        filled: Floats = values[:, :columns].copy()
        gaps = values[:, columns:] > 0.5
        rows = np.flatnonzero((gaps & self.present.any(axis=0)).any(axis=1))
        for start in range(0, len(rows), _CHUNK):
            chunk = rows[start : start + _CHUNK]
            distances = self._distances(filled[chunk], ~gaps[chunk])
            for column in np.flatnonzero(gaps[chunk].any(axis=0) & self.present.any(axis=0)).tolist():
                missing = gaps[chunk, column]
                filled[chunk[missing], column] = self._means(distances[missing], column)
        return filled

    def _distances(self, values: Floats, present: Array) -> Floats:
        """Return the distances of rows to those of fit; NaN where they share no column."""
        points, there = self.points, self.present.astype(np.float64)
        # Squares of what both have, as scikit-learn sums them: ties stay ties.
        squares = -2 * (values @ points.T)
        squares += np.einsum("ij,ij->i", values, values)[:, None]
        squares += np.einsum("ij,ij->i", points, points)[None, :]
        squares = np.maximum(squares, 0.0)
        squares -= (values * values) @ (1.0 - there).T
        squares -= (~present).astype(np.float64) @ (points * points).T
        shared = present.astype(np.float64) @ there.T
        squares = np.where(shared > 0, np.clip(squares, 0.0, None), np.nan)
        return np.asarray(np.sqrt(squares / np.maximum(shared, 1.0) * points.shape[1]))

    def _means(self, distances: Floats, column: int) -> Floats:
        """Return what a column gets in rows of these distances."""
        donors = np.flatnonzero(self.present[:, column])
        given, distances = self.points[donors, column], distances[:, donors]
        count = min(self.neighbors, len(donors))
        nearest = np.argpartition(distances, count - 1, axis=1)[:, :count]
        chosen = np.take_along_axis(distances, nearest, axis=1)
        weights = np.where(np.isnan(chosen), 0.0, 1.0)
        if self.by_distance:
            with np.errstate(divide="ignore"):
                weights = 1.0 / chosen
            is_same = np.isinf(weights)
            weights = np.where(is_same.any(axis=1, keepdims=True), is_same, np.nan_to_num(weights, nan=0.0))
        total = weights.sum(axis=1)
        means = (given[nearest] * weights).sum(axis=1) / np.where(total > 0, total, 1.0)
        # A row that shares no column with any gets the mean of the column.
        return np.asarray(np.where(np.isnan(distances).all(axis=1), given.mean(), means))

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Return inf for rows with an error: others may be nearest then."""
        bound = np.where((error > 0).any(axis=1, keepdims=True), np.inf, 0.0)
        return np.broadcast_to(bound, (len(values), self.points.shape[1]))
