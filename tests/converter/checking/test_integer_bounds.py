"""The steps of int16 files as the toolkit writes them, and the bound that counts on them."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from rknn_harness.probe.models import Calibration, Model, dense
from scirknn.arrays import Array
from sklearn2rknn import Toolkit
from sklearn2rknn.checking.integer_bounds import int16_steps, quantized_output_bound, tensor_steps
from sklearn2rknn.network.layer import Layer
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
