"""Converted models that are fitted without labels."""

from __future__ import annotations

from scirknn.estimators.methods import Methods


class Transformer(Methods):
    """A converted transformer, such as a PCA, or a NearestNeighbors, which has searches alone.

    Parameters, attributes and errors are those of `Classifier`, without ``classes_``.
    """

    _tasks = ("transformer",)


class Clusterer(Methods):
    """A converted clusterer, whose ``predict`` gives the number of a cluster.

    Parameters, attributes and errors are those of `Classifier`, without ``classes_``.
    """

    _tasks = ("clusterer",)


class OutlierDetector(Methods):
    """A converted outlier detector, whose ``predict`` gives 1, or -1 for an outlier.

    Parameters, attributes and errors are those of `Classifier`, without ``classes_``.
    """

    _tasks = ("outlier",)
