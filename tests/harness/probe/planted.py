"""NPUs that compute otherwise: the executor with one of its rules changed, for the probe to notice."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import virtual_npu
from rknn_harness.boards.session.timing_calls import SamplingBounds, Timed
from rknn_harness.errors import BoardError
from rknn_harness.probe.questions.float_rounding import rounded
from rknn_harness.probe.questions.float_sums import orders
from virtual_npu.execute import (
    convolution,
    data_processor,
    data_processor_operands,
    data_processor_stages,
    integer_rounding,
    lookup_table,
)
from virtual_npu.execute import virtual_npu as executor
from virtual_npu.program import registers

Array = npt.NDArray[Any]
Plant = Callable[[pytest.MonkeyPatch], None]


class InProcess:
    """The virtual NPU as a board without a way to it."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self.core = ""
        self.file = b""

    def load_raw(self, model: bytes, core: str = "auto", *, deadline: float = 60.0) -> None:
        self.core, self.file = core, model
        cores = {"0_1": 2, "0_1_2": 3}.get(core, 1)
        try:
            self._npu = virtual_npu.VirtualNpu(virtual_npu.read(model), cores, **self._options)
        except virtual_npu.VirtualNpuError as error:
            raise BoardError("load_error", type(error).__name__, str(error)) from error

    def run_raw(self, x: Array, *, deadline: float = 60.0) -> Array:
        return self._npu.run(x)

    def time_raw(self, x: Array, bounds: SamplingBounds) -> Timed:
        started = time.perf_counter()
        self.run_raw(x)
        return Timed(np.array([time.perf_counter() - started]), {})


def _rounding(where: Any, function: Callable[[Array], Array]) -> Plant:
    """Round to float16 with `function`, float64 to float64, where a module does it."""

    def round_to_half(values: Array) -> Array:
        result: Array = function(values.astype(np.float64)).astype(np.float32)
        return result

    return lambda patch: patch.setattr(where, "round_to_half", round_to_half)


def input_rounding(rule: str) -> Plant:
    return _rounding(executor, lambda values: rounded(values, rule))


def output_rounding(rule: str) -> Plant:
    return _rounding(data_processor_stages, lambda values: rounded(values, rule))


def flushed(where: Any) -> Plant:
    def function(values: Array) -> Array:
        return np.where(abs(values) < 2.0**-14, 0, rounded(values, "nearest_even"))

    return _rounding(where, function)


def capped(values: Array) -> Array:
    return np.clip(rounded(values, "nearest_even"), -65504, 65504)


def early_infinity(values: Array) -> Array:
    halves = rounded(values, "nearest_even")
    return np.where(abs(values) > 65504, np.copysign(np.inf, values), halves)


def overflow(function: Callable[[Array], Array]) -> Plant:
    return _rounding(data_processor_stages, function)


def sums(function: Callable[[Array, Array], Array]) -> Plant:
    """Sum with `function` of kernels (K, C) and rows (N, C), instead of exactly."""

    def summation(rule: str, weights: Array, samples: int) -> Callable[[Array], Array]:
        kernels = weights.T.astype(np.float64)
        return lambda rows: function(kernels, rows).astype(np.float32)

    return lambda patch: patch.setattr(convolution, "summation", summation)


def in_order_of(name: str) -> Plant:
    return sums(lambda kernels, rows: orders(kernels, rows)[name])


def products_of(bits: int, rule: str) -> Plant:
    return sums(lambda kernels, rows: rounded(kernels[None] * rows[:, None], rule, bits).sum(axis=2))


def weights_flushed(kernels: Array, rows: Array) -> Array:
    result: Array = rows.astype(np.float64) @ np.where(abs(kernels) < 2.0**-14, 0, kernels).T
    return result


def nan_taken_for(value: float) -> Plant:
    return sums(lambda kernels, rows: np.where(np.isnan(rows), value, rows).astype(np.float64) @ kernels.T)


def zero_weights_skipped(kernels: Array, rows: Array) -> Array:
    products = kernels[None] * rows[:, None].astype(np.float64)
    result: Array = np.where(kernels[None] == 0, 0, products).sum(axis=2)
    return result


def infinity_taken_for_largest(kernels: Array, rows: Array) -> Array:
    # What leaves the sum beyond float16 becomes infinite after it; here everything stays within.
    result: Array = np.clip(np.clip(rows, -65504, 65504).astype(np.float64) @ kernels.T, -65504, 65504)
    return result


def stage(wanted: Callable[..., Any], instead: Callable[..., Any]) -> Plant:
    """Change what a stage of the float pipeline does."""
    given = data_processor_stages._in_place

    def in_place(function: Callable[..., Any], constant: Any) -> Any:
        return given(instead, constant) if function is wanted else given(function, constant)

    return lambda patch: patch.setattr(data_processor_stages, "_in_place", in_place)


def bias_of_half(values: Array, bias: Array, out: Array) -> Array:
    return np.add(values, bias.astype(np.float16), out=out)


class _Numpy:
    """numpy with some of its functions changed."""

    def __init__(self, **changed: Any) -> None:
        self._changed = changed

    def __getattr__(self, name: str) -> Any:
        return self._changed.get(name) or getattr(np, name)


def division(function: Callable[[Array, Array], Array]) -> Plant:
    return lambda patch: patch.setattr(data_processor_operands, "np", _Numpy(divide=function))


def rounded_before_an_addition(patch: pytest.MonkeyPatch) -> None:
    given = data_processor_operands.decode_second_operand

    def decode(task: Any, *arguments: Any) -> Any:
        cube, compute = given(task, *arguments)
        return cube, lambda values, operand: compute(values.astype(np.float16), operand)

    patch.setattr(data_processor_stages, "decode_second_operand", decode)


def by_reciprocal(a: Array, b: Array) -> Array:
    return a * (1 / b).astype(np.float16).astype(np.float32)


def relu_without_nan(values: Array, zero: Any, out: Array) -> Array:
    kept: Array = np.fmax(values, zero, out=out)
    return kept


def table(function: Callable[[Any, Array], Array]) -> Plant:
    """Look up with `function` of the table and the values, in units of 2^-15, and only scale its result."""

    def scaled(task: Any, factor: Any, rules: Any) -> Any:
        return data_processor_stages._in_place(np.multiply, factor)

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(lookup_table.LookupTable, "apply", lambda found, values, rules: function(found, values))
        patch.setattr(data_processor_stages, "_converted_lookup", scaled)

    return plant


def _at(found: Any, values: Array) -> Array:
    at: Array = (values - found.start) * (1 / found.step)
    return at


def _line(found: Any, at: Array, low: float, high: float) -> Array:
    """Interpolate between `low` and `high`, in entries."""
    at = np.clip(at, low, high)
    segment = np.clip(np.nan_to_num(at), 0, 1023).astype(int)
    result: Array = (found.base[segment] + (at - segment) * found.rise[segment]).astype(np.float32)
    return result


def nearest_entry(found: Any, values: Array) -> Array:
    result: Array = found.base[np.clip(np.rint(_at(found, values)), 0, 1024).astype(int)]
    return result


def whole_steps(found: Any, values: Array) -> Array:
    return np.floor(_line(found, _at(found, values), 0, 1024))


def shorter(found: Any, values: Array) -> Array:
    return _line(found, _at(found, values), 100, 924)


def going_on(found: Any, values: Array) -> Array:
    return _line(found, _at(found, values), -np.inf, np.inf)


def hyperbolic_tangent(found: Any, values: Array) -> Array:
    return np.asarray(np.tanh(values / 5424.0) * 32768, np.float32)


def logistic(found: Any, values: Array) -> Array:
    return np.asarray(32768 / (1 + np.exp(-values.astype(np.float64) / 2596.0)), np.float32)


def nan_at_the_low_end(patch: pytest.MonkeyPatch) -> None:
    given = lookup_table.LookupTable.apply

    def apply(found: Any, values: Array, rules: Any) -> Array:
        return given(found, np.where(np.isnan(values), found.start, values), rules)

    patch.setattr(lookup_table.LookupTable, "apply", apply)


def offset_counts(found: Any, values: Array) -> Array:
    return np.asarray(_line(found, _at(found, values), 0, 1024) + 1, np.float32)


def integer_output(rule: Callable[[Array], Array], *, wraps: bool = False) -> Plant:
    """Round integers with `rule`, and fit them into their type, as the last stage."""
    given = data_processor_stages.output_stages

    def output(task: Any, dtype: np.dtype[Any], rules: Any) -> Any:
        if dtype.kind == "f":
            return given(task, dtype, rules)
        factor = np.ldexp(float(task[registers.OUT_CVT_SCALE]), -task[registers.OUT_CVT_SHIFT])
        offset, span = float(task[registers.OUT_CVT_OFFSET]), 256**dtype.itemsize

        def finish(values: Array, operand: Array | None) -> Array:
            whole = rule(values.astype(np.float64) * factor + offset)
            if wraps:
                whole = (whole + span // 2) % span - span // 2
            return np.clip(whole, -span // 2, span // 2 - 1)

        return [finish]

    return lambda patch: patch.setattr(data_processor, "output_stages", output)


def share_rounded(rule: Callable[[Array], Array]) -> Plant:
    given = data_processor_stages._scale_integers  # without rounding

    def scale_channels(addend: Any, factor: Any, shift: int, negative_shift: int) -> Any:
        compute = given(addend, factor, shift)
        return lambda values, operand: rule(compute(values, operand))

    return lambda patch: patch.setattr(data_processor_stages, "_scale_channels", scale_channels)


def quantized(rule: Callable[[Array], Array], nan: float = 0.0) -> Plant:
    def quantize(values: Array, tensor: Any) -> Array:
        limits = np.iinfo(tensor.dtype)
        scaled = np.where(np.isnan(values), nan, rule(values.astype(np.float64) / tensor.scale))
        return np.asarray(np.clip(scaled, limits.min, limits.max), tensor.dtype)

    return lambda patch: patch.setattr(executor, "quantize", quantize)


def narrow_integers(bits: int, *, saturates: bool = False) -> Plant:
    given, half = convolution._integer_sums, 2.0 ** (bits - 1)

    def integer_sums(*arguments: Any) -> Any:
        compute = given(*arguments)

        def fit(rows: Array) -> Array:
            whole: Array = compute(rows).astype(np.float64)
            if saturates:
                return np.clip(whole, -half, half - 1)
            return (whole + half) % (2 * half) - half

        return fit

    def plant(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(convolution, "_integer_sums", integer_sums)
        for module in (convolution, integer_rounding):  # what saturates as silicon was measured to
            patch.setattr(module, "_INT32", np.iinfo(np.int64))

    return plant
