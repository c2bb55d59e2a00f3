"""The output activations, evaluated on the host from the network's raw output.

The formulas are scikit-learn's (``sklearn.neural_network._base``), written so that no exponential overflows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from scirknn.arrays import Array

__all__ = ["activate", "log_activate"]


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
