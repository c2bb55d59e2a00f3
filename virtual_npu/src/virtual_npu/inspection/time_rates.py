"""What a call's parts cost on an RK3588, fitted to times that others published.

`FITTED` and `BAND` are what ``python -m benchmarks.fit_times`` makes of ``benchmarks/data``, to three digits.
This project has measured none of it. docs/time-estimate.md says what each part means and how good the fit is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CLOCK: Final = 1e9
"""Hz. [silicon: jas-hacks.blogspot.com, 2023]"""

MULTIPLIERS: Final = {"int8": 1024, "float16": 512, "int16": 512}
"""Multiply-adds a cycle and core, by the weights' dtype. [silicon: RK3588 TRM Part 1, chapter 36]"""

BUFFER_BYTES: Final = 11 * 32768
"""Eleven of the 12 banks of on-chip memory; one is for the other operand. [silicon: RK3588 TRM Part 1]"""


@dataclass(frozen=True, slots=True)
class TimeRates:
    """What a call's parts cost.

    Attributes
    ----------
    submit : float
        Seconds of a run before its first task, as `rknn_run` shows it.
    task : float
        Seconds a task.
    weight_bytes, feature_bytes : float
        Bytes a second: of weights and biases; of what layers read and write.
    input_element, output_element : float
        Seconds in which the host converts one.
    call : float
        Seconds that rknnlite's Python adds to a call.
    """

    submit: float
    task: float
    weight_bytes: float
    feature_bytes: float
    input_element: float
    output_element: float
    call: float


FITTED: Final = TimeRates(
    submit=95.3e-6,
    task=14.2e-6,
    weight_bytes=11.7e9,
    feature_bytes=7.61e9,
    input_element=12.4e-9,
    output_element=0.578e-9,
    call=646e-6,
)

BAND: Final = (0.565, 1.39)
"""Three quarters of the figures lie between these multiples of what a fit without their source gives."""

_A76_RATE: Final = 8 * 2.4e9
_A76_LAYER_SECONDS: Final = 16e-6  # four times what numpy took for a small layer on an x86-64 core


def numpy_seconds(multiply_adds: int, layers: int) -> tuple[float, float]:
    """Estimate a network's time on one A76 core of an RK3588, in numpy and float32.

    Parameters
    ----------
    multiply_adds : int
        Of all rows.
    layers : int

    Returns
    -------
    tuple of two floats
        Seconds. Least: two 128-bit FMLA a cycle at 2.4 GHz and nothing else (Arm, Cortex-A76 Software
        Optimization Guide). Most: a quarter of that rate, and 16 us a layer [assumed].
    """
    least = multiply_adds / _A76_RATE
    return least, 4 * least + layers * _A76_LAYER_SECONDS
