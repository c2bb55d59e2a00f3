"""Estimators of scikit-learn that no network can stand for, each with the reason."""

from __future__ import annotations

from scirknn.answers import METHODS

__all__ = ["refusal_of"]

_PER_ROW = "solves an optimisation for each row"
_GRAPH = "searches a graph of its training rows for each row"
_NEIGHBOURS = "makes a sparse matrix of its training rows' distances; a NearestNeighbors can be converted"
_REFUSED = {
    "DictionaryLearning": _PER_ROW,
    "GaussianProcessClassifier": (
        "takes a row's variance for its probabilities, a product with all pairs of training rows; an SVC can "
        "be converted"
    ),
    "Isomap": _GRAPH,
    "KNeighborsTransformer": _NEIGHBOURS,
    "LatentDirichletAllocation": _PER_ROW,
    "LocallyLinearEmbedding": _PER_ROW,
    "MiniBatchDictionaryLearning": _PER_ROW,
    "MiniBatchNMF": _PER_ROW,
    "NMF": _PER_ROW,
    "RadiusNeighborsTransformer": _NEIGHBOURS,
    "SparseCoder": _PER_ROW,
}


def refusal_of(kind: type) -> str:
    """Return what a class does that no network can, empty where nothing speaks against it.

    The name goes before it: ``TSNE`` "has no predict or transform for new rows".
    """
    if kind.__module__.partition(".")[0] != "sklearn":
        return ""
    if kind.__name__ in _REFUSED:
        return _REFUSED[kind.__name__]
    answers = (*METHODS, "__getattr__")  # the last is of FrozenEstimator, which passes them on
    if not any(hasattr(kind, method) for method in answers):
        return "has no predict or transform for new rows"
    return ""
