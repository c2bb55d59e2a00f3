"""Steps that make probabilities, or their logarithms, of what is none yet."""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Floats
from scirknn.steps.activations import log_activate
from scirknn.steps.step import Monotonic, Step, step


def ends_of_shares(low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Return the least and the greatest share of its row that each part of these limits can be.

    A share is largest with its own part at its greatest and the others at their least.
    """
    lows, highs = (end.sum(axis=1, keepdims=True) - end for end in (low, high))
    with np.errstate(divide="ignore", invalid="ignore"):
        greatest = np.where(high + lows > 0, high / (high + lows), 1.0)
        return np.where(low + highs > 0, low / (low + highs), 0.0), greatest


@step("normalized")
class Normalized(Step):
    """Divide each row by its sum; a row of zeros gets equal shares, as scikit-learn gives them."""

    def apply(self, values: Floats) -> Floats:
        total = values.sum(axis=1, keepdims=True)
        shares = values / np.where(total == 0, 1.0, total)
        return np.where(total == 0, 1.0 / values.shape[1], shares)

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error for values that are not negative."""
        here = self.apply(values)
        low = np.maximum(values - error, 0.0)
        least, greatest = ends_of_shares(low, values + error)
        may_vanish = (low.sum(axis=1, keepdims=True) == 0) & (error.sum(axis=1, keepdims=True) > 0)
        return np.where(may_vanish, 1.0, np.maximum(greatest - here, here - least))


@step("normalized_unless_zero")
class NormalizedUnlessZero(Normalized):
    """Divide each row by its sum; a row of zeros stays one, as `OneVsRestClassifier` leaves it."""

    def apply(self, values: Floats) -> Floats:
        return np.where(values.any(axis=1, keepdims=True), super().apply(values), 0.0)


@step("huber_chances")
class HuberChances(Monotonic):
    """Map -1 to 1 onto 0 to 1, and what is beyond onto the ends.

    Zadrozny and Elkan, Transforming classifier scores into multiclass probability estimates, 2002.
    """

    def apply(self, values: Floats) -> Floats:
        return (np.clip(values, -1.0, 1.0) + 1.0) / 2.0


@step("with_complement")
class WithComplement(Step):
    """Make two columns of one: ``1 - p`` and ``p``."""

    def width(self, columns: int) -> int:
        self.require_columns(1, columns)
        return 2

    def apply(self, values: Floats) -> Floats:
        return np.hstack([1.0 - values, values])

    def carry(self, values: Floats, error: Floats) -> Floats:
        return np.hstack([error, error])


@step("log_softmax")
class LogSoftmax(Step):
    """Give the logarithms of a softmax's probabilities, finite where these underflow."""

    def apply(self, values: Floats) -> Floats:
        return log_activate("softmax", values)

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error: the logarithm of the sum moves by no more than its largest exponent does."""
        return np.asarray(error + error.max(axis=1, keepdims=True))
