"""Models that answer from the nearest training rows: the NPU ranks, the host decides among candidates."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from sklearn.neighbors import (
    KNeighborsClassifier,
    KNeighborsRegressor,
    LocalOutlierFactor,
    NearestNeighbors,
    RadiusNeighborsClassifier,
    RadiusNeighborsRegressor,
)

from scirknn.arrays import Array, Floats
from scirknn.bundle import Affine
from scirknn.steps import neighbours, training_rows
from scirknn.steps.linear import Shift
from scirknn.steps.norms import UnitRows
from scirknn.steps.radius_neighbours import RadiusMeans, RadiusVotes
from scirknn.steps.step import Step
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.checking.arithmetic import FLOAT16
from sklearn2rknn.checking.float_bounds import dense_bound
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers, dense_network
from sklearn2rknn.estimators.fitted import fitted_numbers, require_fitted, stored_rows
from sklearn2rknn.estimators.registry import Form, reads
from sklearn2rknn.network.network import Network

NEAREST = Form(
    text="one dense layer that ranks the training rows; exact distances of the candidates on the host",
    precisions=("float16",),
    worth="5 million numbers in the training rows, 64 rows a call",
)

MOST_ROWS = 60_000
"""Training rows: toolkit 2.3.2 builds 60,000 of 64 columns in 3 s, and no larger number was tried."""

MOST_COLUMNS = 8_000
"""Columns: of some more, toolkits up to 2.3.2 cut the layer too, in parts of another width."""

PART_COLUMNS = 1536
"""Columns of a part, behind each of which 2.5.0 stores the sum as float16 [register programs]."""

MOST_NUMBERS = 1 << 25
"""Numbers in the training rows: 64 MiB of weights in a model file and 256 MiB of arrays beside it."""

_ROOM = 2.0**6
"""Largest score of a training row: float16 ends 1,000 times as far, and is subnormal below a millionth."""

_LARGEST = 1e100

_SLACK = 1 + 2.0**-10
"""For the roundings of float64 around the layer, which are a billionth of float16's."""


@reads(KNeighborsClassifier, form=NEAREST)
def read_classifier(estimator: Any, name: str) -> Network:
    """Return the network of the votes' shares."""
    space = _Space.of(estimator, name)
    step = neighbours.NearestAnswers(
        **space.fields,
        count=_count(estimator, name, "n_neighbors"),
        answers=_votes(estimator, name, space),
        weights=_weights(estimator, name),
    )
    return space.network(estimator, step, Answers.of(estimator, "classifier", {"kneighbors": ()}))


@reads(RadiusNeighborsClassifier, form=NEAREST)
def read_radius_classifier(estimator: Any, name: str) -> Network:
    """Return the network of the votes' shares within a radius."""
    space = _Space.of(estimator, name)
    votes = _votes(estimator, name, space)
    answers = Answers.of(estimator, "classifier", {"radius_neighbors": ()})
    label = None if estimator.outlier_label_ is None else estimator.outlier_label_[0]
    outlier = -1
    if label is not None:
        (places,) = np.nonzero(np.asarray(answers.classes) == label)
        if len(places) != 1:
            raise UnsupportedModelError(
                f"{name} with outlier_label={label!r:.40}, which is none of its classes, cannot be "
                "converted: a row without neighbours would have no probability. Fit it with the label of a "
                "class, or to some rows of that label."
            )
        outlier = int(places[0])
    step = RadiusVotes(
        **space.fields,
        radius=_radius(estimator, name),
        answers=votes,
        weights=_weights(estimator, name),
        outlier=outlier,
    )
    return space.network(estimator, step, answers)


@reads(KNeighborsRegressor, RadiusNeighborsRegressor, form=NEAREST)
def read_regressor(estimator: Any, name: str) -> Network:
    """Return the network of the neighbours' mean target."""
    space = _Space.of(estimator, name)
    targets = _targets(estimator, name, space)
    table = targets.reshape(len(targets), -1)
    fields = {**space.fields, "answers": table, "weights": _weights(estimator, name)}
    step = (
        RadiusMeans(**fields, radius=_radius(estimator, name))
        if isinstance(estimator, RadiusNeighborsRegressor)
        else neighbours.NearestAnswers(**fields, count=_count(estimator, name, "n_neighbors"))
    )
    own = dict.fromkeys(step.searches, ())
    answers = Answers.of(estimator, "regressor", own, single_output=targets.ndim == 1)
    return space.network(estimator, step, answers)


@reads(NearestNeighbors, form=NEAREST)
def read_nearest_neighbours(estimator: Any, name: str) -> Network:
    """Return the network of the distances of the nearest neighbours."""
    space = _Space.of(estimator, name)
    step = neighbours.NearestDistances(
        **space.fields, count=_count(estimator, name, "n_neighbors"), radius=_radius(estimator, name)
    )
    answers = Answers.of(estimator, "transformer", {"kneighbors": (), "radius_neighbors": ()})
    return space.network(estimator, step, answers)


@reads(LocalOutlierFactor, form=NEAREST)
def read_local_outlier_factor(estimator: Any, name: str) -> Network:
    """Return the network of a detector of novelties."""
    if not estimator.novelty:
        raise UnsupportedModelError(
            f"{name} with novelty=False has no predict for new rows. Fit it with novelty=True."
        )
    space, count = _Space.of(estimator, name), _count(estimator, name, "n_neighbors_")
    own, n = Attributes(estimator), len(space.rows)
    distances = fitted_numbers(f"{name}._distances_fit_X_", own.array("_distances_fit_X_", (n, None)), 2)
    densities = fitted_numbers(f"{name}._lrd", own.array("_lrd", (n,)), 1)
    if distances.shape[1] < count:
        raise own.refuse("_distances_fit_X_", f"{count} distances of each row")
    reaches = distances[:, count - 1]
    step = neighbours.LocalOutlierFactor(
        **space.fields, count=count, reaches=_doubles(reaches), densities=_doubles(densities)
    )
    shift: tuple[Step, ...] = (Shift((-float(estimator.offset_),)),)
    methods = {"predict": shift, "decision_function": shift, "score_samples": (), "kneighbors": ()}
    answers = Answers.of(estimator, "outlier", methods)
    return space.network(estimator, step, answers)


@attrs.frozen(eq=False, kw_only=True)
class _Space:
    """Training rows, and the layer that ranks them.

    Attributes
    ----------
    rows : numpy.ndarray of float64, shape (n, n_features)
        Of unit length for the cosine.
    metric : {"euclidean", "cosine"}
    centre : numpy.ndarray of float64, shape (n_features,)
    unit, output_unit : float
        Of the layer's inputs and outputs: powers of two.
    """

    rows: Floats
    metric: str
    centre: Floats
    unit: float
    output_unit: float

    @classmethod
    def of(cls, estimator: Any, name: str) -> _Space:
        """Read an estimator's training rows and metric."""
        require_fitted(estimator, "n_samples_fit_")
        metric = _metric(estimator, name)
        values = estimator._fit_X
        if hasattr(values, "toarray"):
            raise UnsupportedModelError(f"{name} was fitted to a sparse matrix. Fit it to X.toarray().")
        rows = _doubles(stored_rows(f"{name}._fit_X", values))
        _refuse_sizes(estimator, name, rows)
        if metric == "cosine":
            rows = UnitRows().apply(rows)
        centre = rows.mean(axis=0)
        with np.errstate(over="ignore"):
            length = float(np.linalg.norm(rows - centre, axis=1).max()) or 1.0
        if not 1 / _LARGEST < length < _LARGEST:
            raise UnsupportedModelError(
                f"{name}'s training rows are up to {length:.3g} from their mean, whose square leaves "
                "float64. Scale X before fit."
            )
        return cls(
            rows=rows,
            metric=metric,
            centre=centre,
            unit=2.0 ** np.ceil(np.log2(length)),
            output_unit=4.0 ** np.ceil(np.log2(length)) / _ROOM,
        )

    @property
    def layer(self) -> tuple[Floats, Floats]:
        """Weights and bias of the scores, for inputs less the centre."""
        points = self.rows - self.centre
        if self.metric == "cosine":
            bias = points @ self.centre
            return points.T, bias - bias.mean()
        return points.T, -np.square(points).sum(axis=1) / 2

    @property
    def fields(self) -> dict[str, Any]:
        """The fields that all steps of neighbours have."""
        weights, bias = self.layer
        scale, stored = self.unit / self.output_unit, (len(weights) - 1) // PART_COLUMNS
        bound = dense_bound(weights * scale, bias / self.output_unit, FLOAT16, stored_sums=stored)
        return {
            "points": self.rows,
            "centre": self.centre,
            "slope": bound.slope * self.output_unit / self.unit * _SLACK,
            "constant": bound.constant * self.output_unit * _SLACK,
            "metric": self.metric,
        }

    def network(self, estimator: Any, step: Step, answers: Answers) -> Network:
        """Return the network of the scores, with a step behind it."""
        weights, bias = self.layer
        weights, bias = weights / self.output_unit, (bias - self.centre @ weights) / self.output_unit
        is_cosine, width, n = self.metric == "cosine", self.rows.shape[1], len(self.rows)
        return attrs.evolve(
            dense_network(estimator, weights, bias, answers),
            output=Affine(np.zeros(n), np.full(n, self.output_unit)),
            fixed_scale=Affine(self.centre, np.full(width, 1.0 / self.unit)),
            features=(UnitRows(),) if is_cosine else (),
            features_in=width if is_cosine else None,
            epilogue=(step,),
        )


def _doubles(values: Array) -> Floats:
    return np.ascontiguousarray(values, dtype=np.float64)


def _metric(estimator: Any, name: str) -> str:
    metric, parameters = estimator.effective_metric_, estimator.effective_metric_params_
    if metric in ("euclidean", "l2") and not parameters:
        return "euclidean"
    if metric == "cosine" and not parameters:
        return "cosine"
    shown = getattr(estimator.metric, "__name__", estimator.metric)
    raise UnsupportedModelError(
        f"{name} with metric={shown!r:.40} and {parameters or 'no parameters'!s:.60} cannot be converted: "
        "only Euclidean distances (minkowski with p=2) and cosines are products of matrices. Fit it with "
        "metric='euclidean', or run it with scikit-learn."
    )


def _count(estimator: Any, name: str, attribute: str) -> int:
    count, n = getattr(estimator, attribute), estimator.n_samples_fit_
    if not isinstance(count, (int, np.integer)) or not 1 <= count <= n:
        raise UnsupportedModelError(
            f"{name} asks for {count!r:.40} neighbours of {n} training rows. Fit it with fewer."
        )
    return int(count)


def _radius(estimator: Any, name: str) -> float:
    radius = estimator.radius
    if not isinstance(radius, (int, float, np.number)) or not 0 <= radius < _LARGEST:
        raise UnsupportedModelError(
            f"{name} has the radius {radius!r:.40}. Fit it with a number from 0 to {_LARGEST:g}."
        )
    return float(radius)


def _votes(estimator: Any, name: str, space: _Space) -> Floats:
    """Return 1 in the column of each training row's class."""
    if estimator.outputs_2d_:
        raise UnsupportedModelError(
            f"{name} with several targets (multi-output) cannot be converted. Fit one for each column of y."
        )
    count = len(estimator.classes_)
    own = Attributes(estimator).array("_y", (len(space.rows),), "iu")
    if not 0 <= own.min() <= own.max() < count:
        raise Attributes(estimator).refuse("_y", f"the class of each row, below {count}")
    votes = np.zeros((len(own), count))
    votes[np.arange(len(own)), own] = 1.0
    return votes


def _targets(estimator: Any, name: str, space: _Space) -> Floats:
    targets = np.asarray(estimator._y)
    if targets.dtype.kind in "OSU":
        raise UnsupportedModelError(
            f"{name} was fitted on targets of {targets.dtype}, of which no mean can be taken. Fit it on "
            "numbers."
        )
    targets = fitted_numbers(
        f"{name}._y", targets.astype(float) if targets.dtype.kind in "iub" else targets, None
    )
    if targets.ndim > 2 or len(targets) != len(space.rows):
        raise UnsupportedModelError(
            f"{name}._y has shape {targets.shape} for {len(space.rows)} training rows."
        )
    return targets.astype(np.float64)


def _weights(estimator: Any, name: str) -> str:
    weights = estimator.weights or "uniform"
    if weights not in training_rows.WEIGHTS:
        shown = getattr(weights, "__name__", weights)
        raise UnsupportedModelError(
            f"{name} with weights={shown!r:.40} cannot be converted. Fit it with 'uniform' or 'distance'."
        )
    return str(weights)


def _refuse_sizes(estimator: Any, name: str, rows: Floats) -> None:
    n, columns = rows.shape
    Attributes(estimator).array("_fit_X", (estimator.n_samples_fit_, estimator.n_features_in_), "fiub")
    if n > MOST_ROWS or columns > MOST_COLUMNS or rows.size > MOST_NUMBERS:
        raise UnsupportedModelError(
            f"{name} has {n} training rows of {columns} columns; at most {MOST_ROWS} rows, {MOST_COLUMNS} "
            f"columns and {MOST_NUMBERS} numbers can be converted. Fit it to fewer rows, or behind a PCA."
        )
