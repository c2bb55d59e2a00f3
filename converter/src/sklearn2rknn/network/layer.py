"""A dense layer with its activation."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from scirknn.arrays import Floats

TANH_CHANNELS = 4
"""Channels for each unit of tanh in int16: see `int16_tanh`."""

TANH_PAIRS_ERROR = 1.3e-4
"""Largest error of a tanh in int16; a logistic has half of it."""


ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
"""Hidden activations, by scikit-learn's names."""

REFINED = "refined"
"""``t / (1 + t**2)`` with ``t = tanh(z)``, which is ``tanh(2 z) / 2``: see `refined_tanh`."""

CLIPPED_TANH = "half tanh"
CLIPPED_TANH_END = 3.015625
"""``tanh(min(max(z, 0), CLIPPED_TANH_END))``: see `int16_tanh`."""


SOFTMAX = "softmax"
"""``exp(z) / sum(exp(z))`` of a row's channels: see `kernel_on_npu`."""


def rounded_to_float16(values: Floats) -> Floats:
    """Return the nearest float16 of each value, as float64; infinity beyond its range."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16).astype(np.float64)


def _logistic(values: Floats) -> Floats:
    # exp of a non-positive number only, so that no row overflows.
    small = np.exp(-np.abs(values))
    return np.where(values >= 0, 1.0, small) / (1.0 + small)


def activate(name: str, values: Floats) -> Floats:
    """Apply the hidden activation `name`, all but the softmax element by element."""
    if name == "relu":
        return np.maximum(values, 0.0)
    if name == "tanh":
        return np.tanh(values)
    if name == "logistic":
        return _logistic(values)
    if name == REFINED:
        return np.tanh(2.0 * values) / 2.0
    if name == SOFTMAX:
        shares = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(shares / shares.sum(axis=1, keepdims=True))
    if name == CLIPPED_TANH:
        return np.tanh(np.clip(values, 0.0, CLIPPED_TANH_END))
    return values


def _frozen(values: Any) -> Floats:
    array = np.array(values, dtype=np.float64)
    array.flags.writeable = False
    return array


_same = attrs.cmp_using(eq=np.array_equal)


@attrs.frozen(eq=True)
class Layer:
    """A dense layer, ``activation(h @ weights + bias)``.

    Attributes
    ----------
    weights : numpy.ndarray of float64, shape (n_in, n_out)
    bias : numpy.ndarray of float64, shape (n_out,)
    activation : {"identity", "logistic", "tanh", "relu", "refined", "half tanh", "softmax"}
    """

    weights: Floats = attrs.field(converter=_frozen, eq=_same)
    bias: Floats = attrs.field(converter=_frozen, eq=_same)
    activation: str = attrs.field(
        validator=attrs.validators.in_((*ACTIVATIONS, REFINED, CLIPPED_TANH, SOFTMAX))
    )

    def forward(self, values: Floats) -> Floats:
        """Return the layer's output, float64 of shape (n, n_out), for (n, n_in)."""
        sums = values @ self.weights
        sums += self.bias
        return activate(self.activation, sums)


MIN_REFINED_BATCH_SIZE = 2
"""Batch size from which on every toolkit version places the division on the NPU."""
