"""A network on the host's own CPU: float32, in numpy."""

from __future__ import annotations

from typing import Any, Generator, Iterable

import numpy as np

from scirknn.arrays import Array, Float32Array
from scirknn.bundle.contents import Affine, Bundle, CpuLayer
from scirknn.errors import BundleNotFoundError
from scirknn.networks.costs import CPU_ROWS
from scirknn.networks.run_plan import VALUES, cut
from scirknn.steps.activations import activate


class CpuNetwork:
    """The network of a bundle by its own weights; see `Network`.

    They are those of the estimator behind the host's map of the inputs, neither rounded nor split for an NPU,
    and they end with the outputs.

    Raises
    ------
    BundleNotFoundError
        The bundle has none, or they were not copied with it.
    BundleError
        Their file is another, or damaged.
    """

    precision = "float32"
    watches_range = False
    output: Affine | None = None
    row_samples = workers = 1
    is_plain = True

    def __init__(self, bundle: Bundle) -> None:
        part = bundle.cpu
        if part is None:
            raise BundleNotFoundError(
                f"{bundle.path.name} has no weights for the CPU. Convert the model again, without "
                "cpu_weights='off'; or take device='npu'."
            )
        self._layers = part.read()
        self._bundle, self._head = bundle, bundle.head if bundle.head_on_npu else "identity"
        self.channels = part.widths[0]
        self._block = max(1, min(CPU_ROWS, VALUES // max(part.widths)))

    def blocks(self, rows: int) -> list[slice]:
        """Return the blocks of so many rows."""
        return cut(rows, self._block)

    def prepare(self, X: Array) -> Array:
        """Return the network's input of rows, shape (n, channels), before it is cast."""
        return self._bundle.network_input(X)

    def require_own_process(self) -> None:
        """Do nothing: any process can compute with the weights."""

    def outputs(self, inputs: Iterable[Float32Array], count: int) -> Generator[Array, None, None]:
        """Yield the network's outputs, shape (rows, n_outputs), of each block of inputs, in order."""
        for rows in inputs:
            yield self.run(rows)

    def run(self, rows: Float32Array) -> Float32Array:
        """Return the outputs of rows (n, channels), shape (n, n_outputs)."""
        values = compute(self._layers, rows)
        return values if self._head == "identity" else activate(self._head, values)

    def close(self) -> None:
        """Do nothing."""


def compute(layers: Iterable[CpuLayer], values: Any) -> Float32Array:
    """Return the last layer's output for rows of float32; what overflows is infinite or NaN."""
    with np.errstate(over="ignore", invalid="ignore"):
        for layer in layers:
            values = values @ layer.weights
            values += layer.bias
            _activate(layer.activation, values)
    result: Float32Array = values
    return result


def _activate(name: str, values: Float32Array) -> None:
    """Apply a hidden activation in place."""
    if name == "relu":
        np.maximum(values, 0, out=values)
    elif name == "tanh":
        np.tanh(values, out=values)
    elif name == "logistic":  # by the tangent, which overflows nowhere
        values *= np.float32(0.5)
        np.tanh(values, out=values)
        values *= np.float32(0.5)
        values += np.float32(0.5)
    elif name == "softmax":
        values -= values.max(axis=1, keepdims=True)
        np.exp(values, out=values)
        values /= values.sum(axis=1, keepdims=True)
