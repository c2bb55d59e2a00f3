"""The steps of int16 files as the toolkit writes them, and the bound that counts on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest

from rknn_harness.probe.models import Calibration, Model, dense
from scirknn.arrays import Array, Floats
from scirknn.bundle import Affine
from sklearn2rknn import Toolkit
from sklearn2rknn.checking.integer_bounds import Steps, int16_steps, quantized_output_bound, tensor_steps
from sklearn2rknn.network.layer import CLIPPED_TANH, Layer
from sklearn2rknn.passes.int16_sums import NEGLIGIBLE_BIAS
from virtual_npu import VirtualNpu, read

POWERS = np.array([0.125, 0.25, 0.5, 1, 2, 4, 16, 512, 1024], np.float32)
BESIDE = np.nextafter(POWERS, np.float32(0)), np.nextafter(POWERS[:-1], np.float32(2000))
LARGEST = np.concatenate([POWERS, *BESIDE])  # the largest is a power: others' factors are shares of its step
RUN = np.random.default_rng(1).uniform(-1, 1, (16, 8)).astype(np.float32)


def of_largest_weights() -> tuple[Model, Layer]:
    """Return a layer whose kernels have these largest weights, as a model and as the converter's."""
    kernels = np.random.default_rng(0).uniform(-1, 1, (len(LARGEST), 8)) * LARGEST[:, None]
    kernels[:, 0] = LARGEST
    bias = NEGLIGIBLE_BIAS * np.abs(kernels).max(axis=1)  # toolkits make room for 0 as for 1
    calibration = Calibration("int16", RUN[None])
    model = dense(kernels, biases=[bias], samples=len(RUN), calibration=calibration)
    return model, Layer(kernels.T, bias, "identity")


@pytest.fixture(scope="module")
def built(toolkit: Toolkit) -> tuple[bytes, Array]:
    model, _ = of_largest_weights()
    runs = model.calibration_runs()
    result = toolkit.build(model.graph, config=model.config("rk3588"), calibration=runs, simulate=runs)
    assert result.simulated is not None
    return result.rknn, result.simulated


def test_a_power_of_two_from_1_on_has_the_step_of_the_numbers_above_it() -> None:
    steps = int16_steps(np.array([0.25, 0.5, 0.51, 1 - 1e-12, 1.0, 1.5, 1024.0]))
    np.testing.assert_array_equal(1 / steps + 1, 2.0 ** np.array([16, 15, 15, 14, 14, 14, 4]))


def test_the_program_is_within_the_bound_whatever_a_kernels_largest_weight(
    built: tuple[bytes, Array],
) -> None:
    file, (model, layer) = read(built[0]), of_largest_weights()
    outputs = model.rows(VirtualNpu(file).run(model.shaped(RUN)))
    bound = quantized_output_bound([layer], RUN.astype(np.float64), tensor_steps(file))
    assert (np.abs(outputs - layer.forward(RUN.astype(np.float64))) <= bound).all()


def test_the_simulators_weights_have_these_steps(built: tuple[bytes, Array]) -> None:
    file, (model, _) = read(built[0]), of_largest_weights()
    constants = onnx.load_model_from_string(model.graph).graph.initializer
    parameters = {each.name: onnx.numpy_helper.to_array(each) for each in constants}
    outputs = VirtualNpu(file, arithmetic="simulator", parameters=parameters).run(model.shaped(RUN))
    np.testing.assert_array_equal(model.rows(outputs), model.rows(built[1]))


FINE = 2.0**-20
ONE, UP_TO_2 = Steps(1.0, 0), Steps(2 / 32767, 0, 16)
WEIGHT_STEP = 254 / 255  # of weights from -127 to 127
AS_FINE = Steps(FINE, 0, 80)


def program_outputs(
    layer: Layer, X: Floats, tensors: tuple[Steps, Steps], idle: float = 0.0, *, per_channel: bool = True
) -> Floats:
    """Return the results as a register program computes them, with exact factors of the output."""
    source, target = tensors
    low = np.minimum(layer.weights.min(axis=0), 0.0)
    high = np.maximum(layer.weights.max(axis=0), 0.0)
    if source.bits == 16:
        steps = int16_steps(np.maximum(np.abs(layer.weights).max(axis=0), idle))
    else:
        steps = (high - low) / 255 if per_channel else np.full(len(high), np.abs(layer.weights).max() / 127)
    sums = held(X, source) / source.step @ np.rint(layer.weights / steps)
    biases = np.rint(layer.bias / (source.step * steps))
    while np.abs(biases).max() >= 2.0**31:  # all are halved until the largest has room
        sums, biases, steps = np.rint(sums / 2), np.rint(biases / 2), steps * 2
    if source.bits == 16:
        sums = np.clip(sums, -(2.0**31), 2.0**31 - 1)
    sums += biases
    if per_channel:
        sums = np.rint(sums * np.rint(steps / steps.max() * 2.0**14) / 2.0**14)
        steps = steps.max()
    return held(sums * source.step * steps, target)


def held(values: Floats, steps: Steps) -> Floats:
    """Return what a tensor of integers holds of real numbers."""
    half, zero = 2.0 ** (steps.bits - 1), steps.zero_point
    stored: Floats = np.clip(np.rint(values / steps.step) + zero, -half, half - 1)
    return (stored - zero) * steps.step


def kernels(*columns: list[float], bias: list[float] | None = None) -> Layer:
    return Layer(np.array(columns).T, bias or [0.0] * len(columns), "identity")


WIDE = [127.0, -127.0]
BESIDE_WIDE = [size * 127 / 993 for size in (1.0, -1.0)]  # a factor of 16.499 in 2**14
WORST: dict[str, tuple[Layer, list[float], Steps, Steps, dict[str, Any]]] = {
    "input between two steps": (kernels(WIDE), [0.5, -0.5], ONE, AS_FINE, {}),
    "input past the upper end": (kernels([1.0]), [300.0], Steps(1.0, 28), AS_FINE, {}),
    "input past the lower end": (kernels([1.0]), [-300.0], Steps(1.0, 28), AS_FINE, {}),
    "weights between two steps": (
        kernels([*WIDE, *[WEIGHT_STEP / 2] * 50]), [0.0, 0.0, *[100.0] * 50], ONE, AS_FINE, {},
    ),
    "weights of a kernel with another's step": (
        kernels(WIDE, [0.5, 0.0]), [100.0, 0.0], ONE, AS_FINE, {"per_channel": False},
    ),
    "bias between two steps": (
        kernels([127.0], bias=[0.5]), [0.0], ONE, AS_FINE, {"per_channel": False},
    ),
    "a kernel's factor between two": (
        kernels(WIDE, BESIDE_WIDE, bias=[0.0, 1e6 * WEIGHT_STEP / 993]), [0.0, 0.0], ONE, AS_FINE, {},
    ),
    "scaled sum between two integers": (
        kernels(WIDE, BESIDE_WIDE, bias=[0.0, 511 * WEIGHT_STEP / 993]), [0.0, 0.0], ONE, AS_FINE, {},
    ),
    "scaled sum of kernels of one sign": (
        kernels([127.0], [127 / 993], bias=[0.0, 511 * 127 / 255 / 993]), [0.0], ONE, AS_FINE, {},
    ),
    "biases without room": (
        kernels(WIDE, WIDE, bias=[2.0**50 * WEIGHT_STEP, 2.0**19 * WEIGHT_STEP]),
        [0.0, 0.0], ONE, AS_FINE, {"nearness": 2.1},  # the sums' roundings are counted too
    ),
    "output between two steps": (kernels([1.0], bias=[0.5]), [0.0], Steps(FINE, 0), Steps(1.0, 3), {}),
    "output past the upper end": (kernels([1.0], bias=[300.0]), [0.0], Steps(FINE, 0), Steps(1.0, 28), {}),
    "output past the lower end": (kernels([1.0], bias=[-300.0]), [0.0], Steps(FINE, 0), Steps(1.0, 28), {}),
    "int16 weights beside an idle one": (
        kernels([0.5 / 255] * 50), [1.0] * 50, Steps(2.0**-14, 0, 16), AS_FINE, {"idle": 100.0},
    ),
    "int16 sums past 32 bits": (kernels([0.9] * 4), [2.0] * 4, UP_TO_2, AS_FINE, {}),
    "int16 sums past 32 bits, below 0": (kernels([0.9] * 4), [-2.0] * 4, UP_TO_2, AS_FINE, {}),
    "int16 sums past 32 bits before the bias": (
        kernels([0.9] * 4, bias=[-2.0]), [2.0] * 4, UP_TO_2, AS_FINE, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WORST)
def test_the_bound_is_met_in_the_worst_case(case: str) -> None:
    layer, row, source, target, form = WORST[case]
    X, per_channel, idle = np.array([row]), form.get("per_channel", True), form.get("idle", 0.0)
    outputs = program_outputs(layer, X, (source, target), idle, per_channel=per_channel)
    error = np.abs(outputs - layer.forward(X))[0, -1]
    bound = quantized_output_bound(
        [layer], X, [source, target], host=0.0, per_channel=per_channel, idle=np.array([idle])
    )[0, -1]
    assert error <= bound <= form.get("nearness", 1.1) * error
    after = Affine(np.zeros(1), np.full(1, -4.0))
    mapped = quantized_output_bound(
        [layer], X, [source, target], None, after, host=0.0, per_channel=per_channel, idle=np.array([idle])
    )
    assert mapped[0, -1] == 4 * bound


def test_a_clipped_tanh_has_its_sum_rounded_too() -> None:
    layer, X = Layer([[1.0]], [0.25], CLIPPED_TANH), np.zeros((1, 1))
    tensors = [UP_TO_2, Steps(0.5, 0, 16), AS_FINE]
    error = layer.forward(X)[0, 0]  # the sum becomes 0
    assert error <= quantized_output_bound([layer], X, tensors)[0, 0] <= 1.1 * error
