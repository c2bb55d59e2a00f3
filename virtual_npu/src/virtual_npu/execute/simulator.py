"""The vendor's simulator's arithmetic of an integer layer.

The simulator never sees the register program. It keeps every tensor in float32, on the points that the
integers stand for; the program sums integers exactly and scales the sum by a factor of 15 bits. The rules
[simulator; ``docs/virtual-npu-agreement.md`` has the experiments and counts]:

- An int8 weight is ``(stored - zero point) * scale`` with ``scale = (max - min) / 255`` of its kernel, 0 in
  that range; weights of an input that is always 0 are left out.
- An int16 weight or value (``w16a16i_dfp``) is ``stored / (2**f - 1)``, not ``stored / 2**f``.
- A bias is a multiple of ``input scale * weight scale``, each step rounded to float32. Where one of an int16
  layer does not fit 32 bits, all are multiples of the least power of two of that unit with which it does.
- Products are summed as `simulator_sums` does, the sum is divided by the output's scale and rounded to
  nearest, halves to even; tanh and sigmoid are computed, not looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from virtual_npu.arrays import Array, Float32Array
from virtual_npu.errors import InputError
from virtual_npu.execute.quantization import quantize
from virtual_npu.execute.sums.summation import simulator_sums
from virtual_npu.rknn_file.model_file import Node, RknnFile, Tensor

_ACTIVATIONS: Final[dict[str, Callable[[Array], Array]]] = {
    "Conv": lambda x: x,
    "ConvRelu": lambda x: np.maximum(x, np.float32(0)),
    "ConvTanh": np.tanh,
    "ConvSigmoid": lambda x: 1 / (1 + np.exp(-x)),
}
SIMULATED_LAYERS: Final = frozenset(_ACTIVATIONS)
"""Types of layers that it computes in one."""

_BIAS_LIMIT: Final = 2.0**31


@dataclass(frozen=True, slots=True)
class SimulatedLayer:
    """One integer layer, or some of its kernels, in the simulator's arithmetic.

    Attributes
    ----------
    weights : ndarray of float32, shape (channels, kernels)
    biases : ndarray of float32, shape (kernels,)
    samples : int
        Points of the layer.
    """

    weights: Array
    biases: Array
    source: Tensor
    destination: Tensor
    activation: str
    samples: int

    @classmethod
    def make(
        cls, file: RknnFile, node: Node, stored: Array, kernels: slice, parameters: dict[str, Array]
    ) -> SimulatedLayer:
        """Scale stored weights as the real ones need it.

        `stored` are the weights of the layer's `kernels` less their zero points, shape (kernels, channels);
        `parameters` the model's real weights, shape (all kernels, channels), and biases, by their names.

        Raises
        ------
        InputError
            A parameter has another shape than the file's.
        """
        source, destination = file.tensors[node.inputs[0]], file.tensors[node.outputs[0]]
        weight, bias = (file.tensors[i].name for i in node.inputs[1:3])
        real, biases = parameters[weight].astype(np.float32), parameters[bias].reshape(-1)
        stored = stored[: len(real[kernels])]
        if real[kernels].shape != stored.shape or len(biases) != len(real):
            raise InputError(f"'{weight}' has shape {real.shape}, the file's {stored.shape}")
        # The toolkit leaves out inputs that are always 0, and kernels that never fire.
        live = np.ones(len(real), np.bool_)
        live[kernels] = stored.any(axis=1)
        real = np.where(stored.any(axis=0), real, np.float32(0)) * live[:, None]
        scales = _scales(real, str(source.dtype))
        unit = np.float32(source.scale or 1) * scales
        multiples = np.where(live, biases.astype(np.float32) / unit, np.float32(0))
        coarse = np.float32(1)
        while source.dtype == "int16" and np.abs(multiples).max(initial=0) / coarse >= _BIAS_LIMIT:
            coarse *= 2
        return cls(
            weights=np.ascontiguousarray((stored.astype(np.float32) * scales[kernels, None]).T),
            biases=(np.rint(multiples / coarse) * coarse * unit)[kernels],
            source=source,
            destination=destination,
            activation=node.type,
            samples=int(np.prod(destination.shape[2:])),
        )

    def apply(self, rows: Array, outputs: int) -> Array:
        """Compute stored values (points, outputs) from stored ones (points, channels)."""
        real = (rows[:, : len(self.weights)] - np.float32(self.source.zero_point or 0)).astype(np.float32)
        real *= np.float32(self.source.scale or 1)
        sums = simulator_sums(real, self.weights, self.samples, self.biases, fused=True)
        stored = quantize(_ACTIVATIONS[self.activation](sums), self.destination)
        full = np.zeros((len(rows), outputs), stored.dtype)
        full[:, : stored.shape[1]] = stored
        return full


def _scales(real: Array, dtype: str) -> Float32Array:
    """Return each kernel's scale."""
    if dtype == "int8":
        scales = (real.max(axis=1, initial=0).astype(np.float64) - real.min(axis=1, initial=0)) / 255
    else:
        largest = np.abs(real).max(axis=1, initial=0).astype(np.float64)
        needed = np.log2(np.maximum(largest, 1e-30))
        # Observation: where the largest weight is at most 1/2, or a power of two from 1 on, f leaves room
        # for twice as much. The kernel's factor has 14 bits, so no scale is less than 2**-14 of the layer's
        # largest.
        bits = np.where(needed < 0, np.ceil(needed) + (needed <= -1), np.floor(needed) + 1)
        scales = 1 / (2.0 ** (15 - bits) - 1)
        scales = np.maximum(scales, scales[largest > 0].max(initial=0) * 2.0**-14)
    rounded: Float32Array = np.where(real.any(axis=1) & (scales > 0), scales, 1).astype(np.float32)
    return rounded
