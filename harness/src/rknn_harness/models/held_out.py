"""Split a model's rows: those for the converter, and those that its file is judged on."""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Array

_SEED = 0


def split(X: Array) -> tuple[Array, Array]:
    """Return the rows for the converter, and the indices of the others.

    Of every two neighbours one is drawn, with a fixed seed: a table may be sorted by its labels, and its
    labels may alternate.

    Parameters
    ----------
    X : numpy.ndarray, shape (n, n_features)

    Returns
    -------
    example : numpy.ndarray, shape (n - n // 2, n_features)
    judged : numpy.ndarray of int, shape (n // 2,)
        In ascending order.
    """
    first = np.arange(0, len(X) - 1, 2)
    judged = first + np.random.default_rng(_SEED).integers(0, 2, len(first))
    return np.delete(X, judged, axis=0), judged
