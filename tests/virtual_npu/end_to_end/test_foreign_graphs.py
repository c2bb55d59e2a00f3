"""Networks that other programs exported, built with the toolkit and executed, against float64."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.counts import counted
from virtual_npu import UnsupportedProgram, VirtualNpu, evidence, read, rules_followed

pytest.importorskip("onnx", reason="onnx is not installed: no graphs to convert")
toolkits = pytest.importorskip(
    "sklearn2rknn.toolkit.toolkit", reason="sklearn2rknn is not installed: no converter"
)

from tests.virtual_npu.float16_bounds import DEVIATIONS, evaluate  # noqa: E402
from tests.virtual_npu.foreign_graphs import GRAPHS, ForeignGraph  # noqa: E402
from tests.virtual_npu_agreement.artifacts import Artifact, build  # noqa: E402

INT8 = ("leaky", "prelu", "abs", "elu", "softplus", "swish", "layer norm, 8 rows", "concat, 8 rows")
"""Of these also int8 files are built: their operators have an integer form of their own."""


@pytest.fixture(scope="module")
def toolkit() -> Iterator[Any]:
    from sklearn2rknn.errors import ToolkitError

    try:
        opened = toolkits.open_toolkit("2.3.2")
        with opened:
            yield opened
    except ToolkitError as error:
        pytest.skip(f"rknn-toolkit2 2.3.2 cannot be had on this machine: {error}")


def _inputs(graph: ForeignGraph) -> Any:
    rows = np.random.default_rng(5).normal(size=(3, *graph.shape))
    return rows.astype(np.float16).astype(np.float32)


@pytest.mark.parametrize("graph", GRAPHS[: counted(len(GRAPHS))], ids=lambda graph: graph.name)
def test_float16_is_right_within_its_roundings(toolkit: Any, graph: ForeignGraph) -> None:
    model, inputs = graph.model(), _inputs(graph)
    built = toolkit.build(model.SerializeToString(), config={"target_platform": "rk3588"})
    npu = VirtualNpu(read(built.rknn))
    for x in inputs:
        expected = evaluate(model, x)
        output = npu.run(x).reshape(expected.value.shape)
        assert (np.abs(output - expected.value) <= DEVIATIONS * expected.error).all()


@pytest.mark.parametrize("name", INT8[: counted(len(INT8))])
def test_int8_is_within_two_steps_of_the_simulator(toolkit: Any, name: str) -> None:
    graph = next(graph for graph in GRAPHS if graph.name == name)
    inputs = _inputs(graph)
    built = toolkit.build(
        graph.model().SerializeToString(),
        config={"target_platform": "rk3588"},
        calibration=inputs,
        simulate=inputs,
    )
    file = read(built.rknn)
    npu = VirtualNpu(file)
    assert file.outputs[0].scale is not None
    assert built.simulated is not None
    outputs = np.stack([npu.run(x) for x in inputs]).reshape(built.simulated.shape)
    assert np.abs(outputs - built.simulated).max() <= 2 * file.outputs[0].scale


@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize("classes", [2, 5])
def test_softmax_of_few_classes_behind_gemm_of_several_rows(
    toolkit: Any, precision: str, classes: int
) -> None:
    """Each row's task writes over the upper half of the row before: joined, they would leave zeros."""
    artifact = Artifact("2.3.2", precision, "gemm", (16, 40, classes), "Relu", "Softmax", 5, 0)
    inputs, built = build(toolkit, artifact)
    npu = VirtualNpu(read(built.rknn))
    assert built.simulated is not None
    outputs = np.stack([npu.run(x) for x in inputs])
    # The exponential's table is right to 5e-4; int8 logits are steps of up to 0.05, of a slope up to 1/4.
    assert np.abs(outputs - built.simulated).max() <= (1e-3 if precision == "float16" else 0.05 / 4)


@pytest.mark.parametrize(("activation", "head"), [("Relu", "Softmax"), ("Tanh", "")])
def test_the_offset_in_exponentials_is_a_rule_of_softmax_alone(
    toolkit: Any, activation: str, head: str
) -> None:
    artifact = Artifact("2.3.2", "float16", "conv", (16, 40, 5), activation, head, 8, 0)
    rules = rules_followed(read(build(toolkit, artifact)[1].rknn))
    assert evidence.LOOKUP_OFFSET in rules
    assert (evidence.SOFTMAX_OFFSET in rules) == (head == "Softmax")


@pytest.mark.parametrize("samples", [1, 8])
@pytest.mark.parametrize("widths", [(1, 40, 5), (16, 1, 40, 5), (16, 1, 3)])
def test_int16_matmul_of_one_channel_is_refused_for_the_files_constants(
    toolkit: Any, widths: tuple[int, ...], samples: int
) -> None:
    """The file is wrong, not the executor: it holds ones as float16 that the program reads as int16."""
    artifact = Artifact("2.3.2", "int16", "matmul", widths, "Relu", "", samples, 0)
    file = read(build(toolkit, artifact)[1].rknn)
    with pytest.raises(UnsupportedProgram, match="is held as float16"):
        VirtualNpu(file)
