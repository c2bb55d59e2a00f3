"""The output activations, evaluated on the host from the network's raw output.

The formulas are scikit-learn's (``sklearn.neural_network._base``), written so that no exponential overflows.
"""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Array, Floats
from scirknn.steps.step import OWN_ROUNDING, Step, step

HEADS = ("softmax", "logistic", "identity", "exp")
"""Output activations, by scikit-learn's names."""


def activate(head: str, output: Array) -> Array:
    """Apply the output activation `head` to `output`, shape (n, k)."""
    if head == "identity":
        return output
    if head == "softmax":
        powers: Array = np.exp(output - output.max(axis=1, keepdims=True))
        powers /= powers.sum(axis=1, keepdims=True)
        return powers
    exponent = output if head == "exp" else log_activate(head, output)
    with np.errstate(over="ignore"):  # the "exp" head overflows to infinity in scikit-learn too
        activated: Array = np.exp(exponent)
    return activated


def log_activate(head: str, output: Array) -> Array:
    """Compute a softmax or logistic head's logarithm, exact where it underflows."""
    logarithm: Array
    if head == "logistic":
        logarithm = -np.logaddexp(output.dtype.type(0), -output)
    else:
        shifted = output - output.max(axis=1, keepdims=True)
        logarithm = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return logarithm


@step("activation")
class Activation(Step):
    """An output activation in the middle of the host's steps.

    Attributes
    ----------
    function : {"softmax", "logistic", "identity", "exp"}
    """

    function: str

    def __post_init__(self) -> None:
        self.require_choice("function", HEADS)

    def apply(self, values: Floats) -> Floats:
        return activate(self.function, values)

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error by what the function does at both ends.

        A softmax's value rises by most where its own exponent rises and all others fall. scikit-learn takes
        many a softmax by logarithms, whose own rounding counts where a steep step is behind it.
        """
        if self.function != "softmax":
            here = activate(self.function, values)
            ends = activate(self.function, values + error), activate(self.function, values - error)
            return np.asarray(np.maximum(ends[0] - here, here - ends[1]))
        bound = np.empty_like(values)
        here = activate("softmax", values)
        for column in range(values.shape[1]):
            own = np.arange(values.shape[1]) == column
            up, down = (
                activate("softmax", values + sign * np.where(own, error, -error))[:, column]
                for sign in (1, -1)
            )
            bound[:, column] = np.maximum(up - here[:, column], here[:, column] - down)
        rounding = OWN_ROUNDING * (1.0 + np.abs(values).max(axis=1, keepdims=True))
        return np.asarray(bound + rounding * here)
