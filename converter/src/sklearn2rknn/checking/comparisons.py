"""How near predictions are to scikit-learn's: the numbers that the converter and the harness judge by."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from scirknn.arrays import Floats
from scirknn.estimators.scores import r2_of_outputs
from sklearn2rknn.tolerances import MARGIN

LOWEST_R2 = -1e9
"""R2 of predictions that are infinite, as JSON has no infinity."""


def decision_margins(probabilities: Floats, *, one_of_them: bool) -> Floats:
    """Return how far probabilities are from a tie.

    Parameters
    ----------
    probabilities : numpy.ndarray, shape (n, k)
    one_of_them : bool
        A row is one of k classes. Otherwise each of k probabilities decides a label.

    Returns
    -------
    numpy.ndarray, shape (n,) or (n, k)
        The two largest probabilities' difference, or the difference of a label's two probabilities.
    """
    if not one_of_them:
        return np.asarray(np.abs(2 * probabilities - 1))
    if probabilities.shape[1] < 2:
        return np.full(len(probabilities), np.inf)
    top = np.sort(probabilities, axis=1)
    return np.asarray(top[:, -1] - top[:, -2])


def are_clear(probabilities: Floats, *, one_of_them: bool) -> npt.NDArray[np.bool_]:
    """Return which labels are away from ties, in the shape of their `decision_margins`."""
    return decision_margins(probabilities, one_of_them=one_of_them) > MARGIN


def worst_r2(expected: npt.ArrayLike, predictions: npt.ArrayLike, *, flat: float = 2.0**-40) -> float | None:
    """Return the worst output's R2; None where no output varies, `LOWEST_R2` of a number in place of NaN.

    Parameters
    ----------
    expected, predictions : array-like, shape (n,) or (n, k)
    flat : float
        An output whose standard deviation is at most this share of its largest magnitude does not vary. The
        default is what float64's sums of some thousand products leave of equal rows.
    """
    expected, predictions = (np.asarray(each, np.float64) for each in (expected, predictions))
    if len(expected) < 2:
        return None
    expected, predictions = (each.reshape(len(each), -1) for each in (expected, predictions))
    if (np.isnan(expected) & ~np.isnan(predictions)).any():
        return LOWEST_R2
    with np.errstate(over="ignore", invalid="ignore"):
        deviation = expected.std(axis=0)  # NaN where the mean is infinite
        varying = (deviation > flat * np.abs(expected).max(axis=0)) & np.isfinite(deviation)
        if not varying.any():
            return None
        scores = r2_of_outputs(expected[:, varying], predictions[:, varying])
    return float(np.nan_to_num(scores, nan=LOWEST_R2).clip(LOWEST_R2).min())
