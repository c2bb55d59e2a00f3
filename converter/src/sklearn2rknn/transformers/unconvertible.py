"""Estimators of scikit-learn that no network can stand for, each with the reason."""

from __future__ import annotations

from scirknn.answers import METHODS

_PER_ROW = "solves an optimisation for each row"
_GRAPH = "searches a graph of its training rows for each row"
_NEIGHBOURS = "makes a sparse matrix of its training rows' distances; a NearestNeighbors can be converted"
_TEXTS = "takes texts, not rows of numbers; convert the model behind it"
_RECORDS = "takes dictionaries, not rows of numbers; convert the model behind it"
_LABELS = "encodes y, not X; a converted classifier has the labels that it was fitted to"
_REFUSED = {
    "CountVectorizer": _TEXTS,
    "DictVectorizer": _RECORDS,
    "DictionaryLearning": _PER_ROW,
    "FeatureHasher": _RECORDS,
    "GaussianProcessClassifier": (
        "takes a row's variance for its probabilities, a product with all pairs of training rows; an SVC can "
        "be converted"
    ),
    "HashingVectorizer": _TEXTS,
    "Isomap": _GRAPH,
    "IsotonicRegression": "interpolates in one column, which leaves the NPU nothing to multiply",
    "KNeighborsTransformer": _NEIGHBOURS,
    "KernelCenterer": "takes kernels, not rows; a KernelPCA can be converted",
    "LabelBinarizer": _LABELS,
    "LabelEncoder": _LABELS,
    "LatentDirichletAllocation": _PER_ROW,
    "LocallyLinearEmbedding": _PER_ROW,
    "MiniBatchDictionaryLearning": _PER_ROW,
    "MiniBatchNMF": _PER_ROW,
    "MultiLabelBinarizer": _LABELS,
    "NMF": _PER_ROW,
    "PatchExtractor": "takes images, not rows of numbers",
    "RadiusNeighborsTransformer": _NEIGHBOURS,
    "SparseCoder": _PER_ROW,
    "TfidfVectorizer": _TEXTS,
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
