"""Models that give a row the label of its nearest centre."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
from sklearn.cluster import AffinityPropagation, Birch, BisectingKMeans, KMeans, MeanShift, MiniBatchKMeans
from sklearn.neighbors import NearestCentroid

from scirknn.arrays import Array, Floats
from scirknn.bundle import Affine
from scirknn.steps.activations import Activation
from scirknn.steps.chances import LogSoftmax
from scirknn.steps.distances import Descent, Distances, LargestOfGroups, LessSquaredNorm
from scirknn.steps.linear import Columns, Dense
from scirknn.steps.step import Step
from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers, dense_network
from sklearn2rknn.estimators.fitted import fitted_numbers, methods, require_fitted
from sklearn2rknn.estimators.registry import Form, reads
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network

CENTRES = Form(text="one dense layer that ranks the centres; exact distances on the host")
SPLITS = Form(text="one dense layer of all splits; the descent and exact distances on the host")

_BROKEN_TREE = "{}'s tree does not lead to its clusters. It was changed after fit; fit again."

_Path = tuple[tuple[int, int], ...]
"""The splits that lead to a leaf: 1 where it is on the left, -1 on the right."""


_MOST_THREADS = 1 << 12
"""More than any machine has on which k-means was fitted."""


@reads(KMeans, MiniBatchKMeans, MeanShift, form=CENTRES)
def read_means(estimator: Any, name: str) -> Network:
    """Return the network of a clusterer whose clusters are its centres."""
    _check_threads(estimator)
    centres = _Centres.of(estimator, name, "cluster_centers_")
    dtype = np.int32 if isinstance(estimator, (KMeans, MiniBatchKMeans)) else np.int64
    return centres.clusterer(estimator, np.arange(len(centres.points), dtype=dtype))


@reads(BisectingKMeans, form=SPLITS)
def read_bisecting_means(estimator: Any, name: str) -> Network:
    """Return the network of the splits' scores: which of its two centres is nearer."""
    _check_threads(estimator)
    centres = _Centres.of(estimator, name, "cluster_centers_")
    labels = np.arange(len(centres.points), dtype=np.int32)
    if len(labels) == 1:
        return centres.clusterer(estimator, labels)
    sides, paths = _splits(estimator, name, len(labels))
    mean = getattr(estimator, "_X_mean", np.zeros_like(centres.middle))  # none where X was sparse
    points = [fitted_numbers(f"{name}'s tree", each, 1) for each in (mean, *sides)]
    if any(each.shape != centres.middle.shape for each in points):
        raise UnsupportedModelError(_BROKEN_TREE.format(name))
    centred = np.array(points[1:], dtype=np.float64) + (points[0] - centres.middle)
    weights, bias = attrs.evolve(centres, points=centred / centres.unit).ranking()
    signs = np.zeros((len(labels), len(labels) - 1), np.int64)
    for leaf, path in paths.items():
        for split, sign in path:
            signs[leaf, split] = sign
    layer = Layer(weights[:, ::2] - weights[:, 1::2], bias[::2] - bias[1::2], "identity")
    return attrs.evolve(centres.clusterer(estimator, labels, (Descent(signs),)), layers=(layer,))


def _check_threads(estimator: Any) -> None:
    """Refuse a number of threads at which scikit-learn's predict ends the process."""
    own = Attributes(estimator)
    if own.has("_n_threads"):
        own.count("_n_threads", most=_MOST_THREADS)


def _splits(estimator: Any, name: str, count: int) -> tuple[list[Any], dict[int, _Path]]:
    """Return the centres of each split, left and right in turn, and the path of each of so many leaves."""
    sides: list[Any] = []
    paths: dict[int, _Path] = {}
    nodes: list[tuple[Any, _Path]] = [(getattr(estimator, "_bisecting_tree", None), ())]
    while nodes and len(sides) < 2 * count:
        node, path = nodes.pop()
        children = [getattr(node, side, None) for side in ("left", "right")]
        if children[0] is None:
            label = getattr(node, "label", None)
            paths[label if isinstance(label, int) else -1] = path
            continue
        nodes += [
            (child, (*path, (len(sides) // 2, sign))) for child, sign in zip(children, (1, -1), strict=True)
        ]
        sides += [getattr(child, "center", None) for child in children]
    if nodes or len(sides) != 2 * (count - 1) or set(paths) != set(range(count)):
        raise UnsupportedModelError(_BROKEN_TREE.format(name))
    return sides, paths


@reads(AffinityPropagation, form=CENTRES)
def read_affinity_propagation(estimator: Any, name: str) -> Network:
    """Return the network of exemplars, where the clustering has found some."""
    require_fitted(estimator, "labels_")
    if estimator.affinity != "euclidean":
        raise UnsupportedModelError(
            f"{name} with affinity={estimator.affinity!r} has no predict for new rows. Fit it with "
            "affinity='euclidean'."
        )
    if not np.shape(estimator.cluster_centers_)[0]:
        raise UnsupportedModelError(
            f"{name} did not converge and has no cluster. Raise max_iter or damping, and fit again."
        )
    centres = _Centres.of(estimator, name, "cluster_centers_")
    return centres.clusterer(estimator, np.arange(len(centres.points)))


@reads(Birch, form=CENTRES)
def read_birch(estimator: Any, name: str) -> Network:
    """Return the network of subclusters; a cluster's score is that of its nearest one."""
    centres = _Centres.of(estimator, name, "subcluster_centers_")
    labels = Attributes(estimator).array("subcluster_labels_", (len(centres.points),), "iu")
    classes, groups = np.unique(labels, return_inverse=True)
    return centres.clusterer(estimator, classes, (LargestOfGroups(groups.astype(np.int64)),))


@reads(NearestCentroid, form=CENTRES)
def read_nearest_centroid(estimator: Any, name: str) -> Network:
    """Return the network of scores: those of distances, and those that probabilities are of.

    These divide each column by its deviation within classes. With equal priors `predict` does not.
    """
    if estimator.metric != "euclidean":
        raise UnsupportedModelError(
            f"{name} with metric={estimator.metric!r} cannot be converted: only the Euclidean distance is a "
            "product of matrices. Fit it with metric='euclidean'."
        )
    centres = _Centres.of(estimator, name, "centroids_")
    answers = Answers.of(estimator, "classifier", head="softmax")
    if not hasattr(estimator, "class_prior_"):  # scikit-learn before 1.6 has no probabilities
        return centres.network(estimator, *centres.ranking(), answers)
    prior, factors = _priors_and_factors(estimator, name, centres)
    weights, bias = centres.ranking(factors)
    weights, bias = 2 * weights, 2 * (bias + np.log(prior))
    count = len(prior)
    first: tuple[Step, ...] = ()
    own: dict[str, tuple[Step, ...]] = {}
    if np.isclose(prior, 1 / count).all():
        nearest = centres.ranking()
        weights, bias = np.hstack([nearest[0], weights]), np.hstack([nearest[1], bias])
        first = (Columns(count, 2 * count),)
        own["predict"] = (Columns(0, count),)
        own["predict_proba"] = (*first, Activation("softmax"))
        own["predict_log_proba"] = (*first, LogSoftmax())
    difference = Dense(np.array([[-1.0], [1.0]]), np.zeros(1))
    own["decision_function"] = (*first, difference if count == 2 else LessSquaredNorm(factors))
    answers = attrs.evolve(answers, responses=methods(estimator, "classifier", own))
    return centres.network(estimator, weights, bias, answers)


def _priors_and_factors(estimator: Any, name: str, centres: _Centres) -> tuple[Floats, Floats]:
    """Return the classes' priors, and what the features are multiplied by for probabilities."""
    prior = fitted_numbers(f"{name}.class_prior_", np.asarray(estimator.class_prior_), 1)
    deviation = fitted_numbers(f"{name}.within_class_std_dev_", estimator.within_class_std_dev_, 1)
    shape = centres.points.shape
    if (*prior.shape, *deviation.shape) != shape or not (prior > 0).all() or not (deviation >= 0).all():
        raise UnsupportedModelError(
            f"{name} has class_prior_ of shape {prior.shape} and within_class_std_dev_ of {deviation.shape} "
            f"for {shape[0]} classes and {shape[1]} features, or numbers that are not positive. Fit again, "
            "with priors above 0."
        )
    return prior, centres.unit / np.where(deviation == 0, 1.0, deviation)


@attrs.frozen(eq=False)
class _Centres:
    """Centres as the network takes them: centred, in a unit that is their own spread.

    Attributes
    ----------
    points : numpy.ndarray of float64, shape (k, n_features)
    middle : numpy.ndarray of float64, shape (n_features,)
    unit : float
        A power of two, by which nothing is rounded.
    dtype : {"float64", "float32"}
    """

    points: Floats
    middle: Floats
    unit: float
    dtype: str

    @classmethod
    def of(cls, estimator: Any, name: str, attribute: str) -> _Centres:
        """Read the centres of an estimator."""
        require_fitted(estimator, attribute)
        own = Attributes(estimator)
        values = own.array(attribute, (None, own.width()), "fiub")  # exemplars have the dtype of X
        centres = fitted_numbers(f"{name}.{attribute}", values.astype(np.float64), 2)
        middle = centres.mean(axis=0)
        spread = float(np.abs(centres - middle).max())
        unit = 2.0 ** np.round(np.log2(spread)) if spread > 0 else 1.0
        dtype = "float32" if values.dtype == np.float32 else "float64"
        return cls((centres - middle) / unit, middle, unit, dtype)

    def ranking(self, factors: Floats | float = 1.0) -> tuple[Floats, Floats]:
        """Return weights and bias of ``x.s - s.s / 2``, which is largest for the nearest centre s.

        It lacks ``x.x / 2``, which all centres have in common. `factors` multiply the columns.
        """
        points = self.points * factors
        return (points * factors).T, -np.square(points).sum(axis=1) / 2

    def network(self, estimator: Any, weights: Floats, bias: Floats, answers: Answers) -> Network:
        scale = np.full(len(self.middle), 1.0 / self.unit)
        network = dense_network(estimator, weights, bias, answers)
        return attrs.evolve(network, input=Affine(self.middle, scale), dtype=self.dtype)

    def clusterer(self, estimator: Any, labels: Array, epilogue: tuple[Step, ...] = ()) -> Network:
        own = {"transform": (Distances(self.points, self.unit),)}
        answers = Answers.of(
            estimator,
            "clusterer",
            own,
            head="softmax",
            classes=labels,
            score="inertia" if hasattr(estimator, "score") else None,
        )
        return attrs.evolve(self.network(estimator, *self.ranking(), answers), epilogue=epilogue)
