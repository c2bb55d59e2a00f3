"""Searches of a loaded model among its training rows, with scikit-learn's checks and texts."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from scirknn.arrays import Array, Floats
from scirknn.bundle.contents import Bundle
from scirknn.errors import InputError
from scirknn.steps.neighbours import NearestRows
from scirknn.steps.training_rows import TrainingRows


def training_rows(bundle: Bundle) -> Floats:
    """Return the training rows of a model as its X.

    Raises
    ------
    InputError
        It is a pipeline, of which only what its last step was fitted to is known.
    """
    if bundle.first_step is not None or bundle.columns is not None:
        raise InputError(
            f"The neighbours of {bundle.estimator}'s own training rows cannot be found: the model is a "
            "pipeline, which does not keep them as its first step takes them. Pass X."
        )
    return _step_of(bundle).points


@dataclass(frozen=True)
class NearestSearch:
    """A search for a number of nearest training rows.

    Attributes
    ----------
    step : TrainingRows
    count : int
        How many are looked for: one more where the rows are the training rows themselves.
    is_training : bool
    """

    step: TrainingRows
    count: int
    is_training: bool

    @classmethod
    def of(cls, bundle: Bundle, n_neighbors: Any, rows: Array, *, is_training: bool) -> NearestSearch:
        """Check a number of neighbours, in scikit-learn's words (InputError)."""
        step = _step_of(bundle)
        if n_neighbors is None:
            n_neighbors = step.count if isinstance(step, NearestRows) else 0
        if n_neighbors <= 0:
            raise InputError(f"Expected n_neighbors > 0. Got {int(n_neighbors)}")
        if not isinstance(n_neighbors, Integral):
            raise InputError(f"n_neighbors does not take {type(n_neighbors)} value, enter integer value")
        n_points, count = len(step.points), int(n_neighbors) + is_training
        if count > n_points:
            relation = "<" if is_training else "<="
            raise InputError(
                f"Expected n_neighbors {relation} n_samples_fit, but n_neighbors = {int(n_neighbors)}, "
                f"n_samples_fit = {n_points}, n_samples = {len(rows)}"
            )
        return cls(step, count, is_training)

    def block(self, output: Array, rows: Floats | None) -> Array:
        """Return distances and indices of a block of rows side by side, float64 of shape (n, 2 * count)."""
        assert rows is not None, "a step takes the rows"
        return np.hstack(self.step.nearest(np.asarray(output, np.float64), rows, self.count))

    def finish(self, table: Array, return_distance: bool) -> Any:
        """Return what the method returns, of the blocks' results."""
        distances, indices = table[:, : self.count], table[:, self.count :].astype(np.int64)
        if self.is_training:
            # A row that has more equal ones than are looked for does not find itself: one of them goes.
            others = indices != np.arange(len(indices))[:, None]
            others[others.all(axis=1), 0] = False
            shape = len(indices), self.count - 1
            distances, indices = distances[others].reshape(shape), indices[others].reshape(shape)
        return (distances.copy(), indices) if return_distance else indices


@dataclass(frozen=True)
class RadiusSearch:
    """A search for the training rows within a radius."""

    step: TrainingRows
    radius: float

    @classmethod
    def of(cls, bundle: Bundle, radius: Any) -> RadiusSearch:
        """Check a radius; by default it is the step's own (InputError)."""
        step = _step_of(bundle)
        radius = getattr(step, "radius", None) if radius is None else radius
        if isinstance(radius, str) or np.ndim(radius) or not np.isreal(radius):
            raise InputError(f"radius is {radius!r:.60}. Pass one number.")
        return cls(step, float(radius))

    def block(self, output: Array, rows: Floats | None) -> Array:
        """Return distances and indices of a block of rows, arrays of objects, shape (n, 2)."""
        assert rows is not None, "a step takes the rows"
        pairs = self.step.within(np.asarray(output, np.float64), rows, self.radius)
        bounds, table = pairs.bounds, np.empty((len(rows), 2), dtype=object)
        for row, (start, stop) in enumerate(zip(bounds[:-1], bounds[1:])):
            table[row, 0], table[row, 1] = pairs.distances[start:stop], pairs.points[start:stop]
        return table

    def finish(self, table: Array, return_distance: bool, *, is_training: bool) -> Any:
        """Return what the method returns, of the blocks' results."""
        if is_training:
            for row, (distances, indices) in enumerate(table):
                others = indices != row
                table[row, 0], table[row, 1] = distances[others], indices[others]
        distances, indices = table.T.copy()
        return (distances, indices) if return_distance else indices


def may_lack_neighbours(bundle: Bundle) -> bool:
    """Whether a row without neighbours has no answer: of a radius, and without a label for outliers."""
    return any(isinstance(each, TrainingRows) and each.may_lack_neighbours for each in bundle.epilogue[:1])


def check_neighbours(bundle: Bundle, values: Array) -> None:
    """Refuse a classifier's rows without neighbours, warn of a regressor's; in scikit-learn's words.

    Raises
    ------
    InputError
        Nobody votes for a row's class.
    """
    if bundle.task == "regressor":
        if np.isnan(values).any():
            warnings.warn(
                "One or more samples have no neighbors within specified radius; predicting NaN.",
                stacklevel=4,
            )
        return
    lonely = np.flatnonzero((values == 0).all(axis=1))
    if len(lonely):
        raise InputError(
            f"No neighbors found for test samples {lonely!r}, you can try using larger radius, "
            "giving a label for outliers, or considering removing them from your dataset."
        )


def _step_of(bundle: Bundle) -> TrainingRows:
    step = bundle.epilogue[0]
    assert isinstance(step, TrainingRows), "it was looked for when the bundle was read"
    return step
