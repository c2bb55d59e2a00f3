"""The MatMul form, with its Reshapes and Transposes, on files that the vendor's toolkit wrote.

A sample; ``tests/virtual_npu_agreement`` has hundreds of files of four toolkits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from virtual_npu import VirtualNpu, read

pytest.importorskip("onnx", reason="onnx is not installed: no graphs to convert")
toolkits = pytest.importorskip(
    "sklearn2rknn.toolkit.toolkit", reason="sklearn2rknn is not installed: no converter"
)


@pytest.fixture(scope="module")
def toolkit() -> Iterator[Any]:
    from sklearn2rknn.errors import ToolkitError

    try:
        opened = toolkits.open_toolkit("2.3.2")
        with opened:
            yield opened
    except ToolkitError as error:
        pytest.skip(f"rknn-toolkit2 2.3.2 cannot be had on this machine: {error}")


def _outputs(
    toolkit: Any, widths: tuple[int, ...], samples: int, precision: str = "float16", last: str = ""
) -> tuple[Any, Any, Any]:
    from tests.virtual_npu_agreement.artifacts import Artifact, build

    inputs, built = build(toolkit, Artifact("2.3.2", precision, "matmul", widths, "Relu", last, samples, 0))
    file = read(built.rknn)
    npu = VirtualNpu(file, arithmetic="simulator")
    other = VirtualNpu(file, 3, arithmetic="simulator")
    outputs = np.stack([npu.run(x) for x in inputs])
    np.testing.assert_array_equal(other.run(inputs[0]), outputs[0])
    return file, outputs, built.simulated


@pytest.mark.parametrize("samples", [1, 8, 64, 256])
@pytest.mark.parametrize("widths", [(64, 10), (30, 50, 7), (13, 20, 1), (100, 1300, 8)])
def test_float16_has_the_simulators_bits(toolkit: Any, widths: tuple[int, ...], samples: int) -> None:
    _, outputs, simulated = _outputs(toolkit, widths, samples)
    np.testing.assert_array_equal(outputs, simulated)


@pytest.mark.parametrize("samples", [1, 64])
def test_int8_is_within_a_step(toolkit: Any, samples: int) -> None:
    file, outputs, simulated = _outputs(toolkit, (30, 50, 7), samples, "int8")
    steps = np.abs(np.rint((outputs - simulated) / file.outputs[0].scale))
    assert np.mean(steps == 0) >= 0.96
    assert steps.max() <= 1


@pytest.mark.parametrize("samples", [1, 8, 256])
def test_softmax_agrees_with_the_simulator(toolkit: Any, samples: int) -> None:
    _, outputs, simulated = _outputs(toolkit, (64, 32, 10), samples, last="Softmax")
    assert np.abs(outputs - simulated).max() <= 1e-3  # the exponential's table is right to 5e-4


@pytest.mark.parametrize("samples", [1, 8])
def test_a_layer_of_one_input_rounds_its_product(toolkit: Any, samples: int) -> None:
    """Mul, then Add: the program rounds the product to float16, the simulator does not."""
    _, outputs, simulated = _outputs(toolkit, (5, 1, 3), samples)
    # Two roundings of a part in 2**11: of the product, no larger than output and bias, and of the output.
    assert np.abs(outputs - simulated).max() <= 2.0**-10 * (np.abs(simulated).max() + 1)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_sigmoid_of_its_own(toolkit: Any, precision: str) -> None:
    """Behind an Add it is not fused; its table goes on below its first entry, down to 0."""
    file, outputs, simulated = _outputs(toolkit, (1, 40), 16, precision, last="Sigmoid")
    assert "Sigmoid" in {node.type for node in file.nodes}
    # The table is right to 2e-3. int8: product and sum are rounded to steps of up to 0.06 each, which the
    # sigmoid's slope of at most 1/4 passes on, and the result to 1/255. Read before the lookup, max would err
    # by 1/2.
    assert np.abs(outputs - simulated).max() <= (2e-3 if precision == "float16" else 2 * 0.06 / 4 + 1 / 255)
