"""The executor against the vendor's simulator, on files that the vendor's toolkit wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.virtual_npu import table_arithmetic
from tests.virtual_npu.program_arithmetic import evaluate, evaluate_floats
from tests.virtual_npu.reference import as_input, as_rows, halfway_steps
from virtual_npu import (
    LookupRules,
    OverWideFieldWarning,
    RknnFile,
    UnsupportedProgram,
    VirtualNpu,
    content_digest,
    placement,
    read,
)

onnx = pytest.importorskip("onnx", reason="onnx is not installed: no graphs to convert")
toolkits = pytest.importorskip(
    "sklearn2rknn.toolkit.toolkit", reason="sklearn2rknn is not installed: no converter"
)

Array = npt.NDArray[Any]

CLIP = 1.1
"""Where the Clip of a case ends."""


@dataclass(frozen=True)
class Case:
    """One conversion: layer widths, activations, samples, precision; random weights, or ones of identity.

    With `far` the first kernel of each layer has that bias and negligible weights.
    """

    widths: tuple[int, ...]
    activation: str = "Relu"
    samples: int = 16
    precision: str = "float16"
    last: str = ""
    identity: bool = False
    far: float = 0.0


@dataclass(frozen=True)
class Conversion:
    file: RknnFile
    inputs: Array
    simulated: Array


Convert = Callable[[Case], Conversion]


def _graph(case: Case) -> bytes:
    """A chain of 1x1 convolutions, samples on the height axis."""
    rng = np.random.default_rng(0)
    nodes, constants, current = [], [], "x"
    pairs = list(zip(case.widths, case.widths[1:], strict=False))
    for i, (channels, kernels) in enumerate(pairs):
        weights = rng.normal(size=(kernels, channels, 1, 1)) / np.sqrt(channels)
        biases = rng.normal(size=kernels) * 0.3
        if case.identity:
            weights, biases = np.eye(kernels)[:, :, None, None], np.zeros(kernels)
        if case.far:
            weights[0] *= 1e-4
            biases[0] = case.far
        constants.append(onnx.numpy_helper.from_array(weights.astype(np.float32), f"w{i}"))
        constants.append(onnx.numpy_helper.from_array(biases.astype(np.float32), f"b{i}"))
        nodes.append(
            onnx.helper.make_node("Conv", [current, f"w{i}", f"b{i}"], [f"a{i}"], kernel_shape=[1, 1])
        )
        current = f"a{i}"
        activation = case.last if i == len(pairs) - 1 else case.activation
        if activation:
            options = {"axis": 1} if activation == "Softmax" else {}
            ends = ["least", "most"] if activation == "Clip" else []
            nodes.append(onnx.helper.make_node(activation, [current, *ends], [f"h{i}"], **options))
            current = f"h{i}"
    nodes[-1].output[0] = "y"
    if "Clip" in (case.activation, case.last):
        constants.append(onnx.numpy_helper.from_array(np.float32(0), "least"))
        constants.append(onnx.numpy_helper.from_array(np.float32(CLIP), "most"))
    tensors = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, width, case.samples, 1])
        for name, width in (("x", case.widths[0]), ("y", case.widths[-1]))
    ]
    graph = onnx.helper.make_graph(nodes, "chain", tensors[:1], tensors[1:], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture(scope="session")
def convert() -> Iterator[Convert]:
    """Convert with toolkit 2.3.2, each case once in a session."""
    from sklearn2rknn.errors import Sklearn2RknnError

    try:
        toolkit = toolkits.open_toolkit("2.3.2")
    except Sklearn2RknnError as error:
        pytest.skip(f"rknn-toolkit2 2.3.2 cannot be had on this machine: {error}")
    done: dict[Case, Conversion] = {}

    def build(case: Case) -> Conversion:
        if case not in done:
            done[case] = _build(toolkit, case)
        return done[case]

    with toolkit:
        yield build


def _build(toolkit: Any, case: Case) -> Conversion:
    rng = np.random.default_rng(1)
    # The simulator feeds float32 to the first layer where an NPU is fed float16: float16 values are both.
    x = rng.normal(size=(12, 1, case.widths[0], case.samples, 1)).astype(np.float16).astype(np.float32)
    config: dict[str, Any] = {"target_platform": "rk3588"}
    if case.precision == "int16":
        config["quantized_dtype"] = "w16a16i_dfp"
    calibration = None if case.precision == "float16" else x[:6]
    built = toolkit.build(_graph(case), config=config, calibration=calibration, simulate=x[6:])
    return Conversion(read(built.rknn), x[6:], built.simulated)


def _steps(found: Conversion, outputs: Array) -> Array:
    output = found.file.outputs[0]
    if output.dtype == "float16":
        return halfway_steps(outputs, found.simulated)
    assert output.scale is not None
    steps: Array = np.abs(np.rint(outputs / output.scale) - np.rint(found.simulated / output.scale))
    return steps


def _run(found: Conversion, **options: Any) -> Array:
    npu = VirtualNpu(found.file, **options)
    return np.stack([npu.run(x) for x in found.inputs])


ODD = (8, 1, 3, 7, 33, 5)


@pytest.mark.parametrize(
    "case",
    [
        Case((64, 128, 10)),
        Case(ODD),
        Case((1000, 33, 1)),
        Case((1000, 33, 7), samples=1),
        Case((300, 70, 3), samples=65),
        Case((3, 8, 3)),
        Case((1, 8, 2), samples=9),
    ],
)
def test_float16_has_the_simulators_bits(convert: Convert, case: Case) -> None:
    steps = _steps(convert(case), _run(convert(case), arithmetic="simulator"))
    assert not steps.any()


def test_float16_stays_close_with_exact_sums(convert: Convert) -> None:
    found = convert(Case((64, 128, 10)))
    outputs = _run(found)
    assert np.mean(outputs == found.simulated) >= 0.99
    # One float16 step of the largest output: what reordering moves is far below it.
    assert np.abs(outputs - found.simulated).max() <= 2.0**-10 * np.abs(found.simulated).max()


@pytest.mark.parametrize(
    "case", [Case(w, precision="int8") for w in ((64, 128, 10), ODD, (16, 33, 1), (3, 8, 3))]
)
def test_int8_is_within_a_step(convert: Convert, case: Case) -> None:
    """The simulator scales by real numbers, the program by 15-bit ones: a step now and then."""
    steps = _steps(convert(case), _run(convert(case), arithmetic="simulator"))
    assert np.mean(steps == 0) >= 0.98
    assert steps.max() <= 1


@pytest.mark.parametrize("precision", ["int8", "int16"])
@pytest.mark.parametrize(
    ("widths", "samples"), [((64, 128, 10), 16), (ODD, 16), ((16, 33, 1), 6), ((150, 80, 33), 1)]
)
def test_integers_have_the_simulators_bits_in_its_arithmetic(
    convert: Convert, widths: tuple[int, ...], samples: int, precision: str
) -> None:
    """With real scales and its sums nothing is left: only the arithmetic differs."""
    case = Case(widths, samples=samples, precision=precision)
    assert not _steps(convert(case), _run(convert(case), parameters=_parameters(case))).any()


def test_one_row_through_many_weights_has_the_simulators_bits(convert: Convert) -> None:
    """More than 2**19 weights: the simulator runs them as Gemm, whose sums start from the bias."""
    for float16 in (Case((1189, 1107), samples=1), Case((1025, 512), samples=1, last="Relu")):
        assert not _steps(convert(float16), _run(convert(float16), arithmetic="simulator")).any()
    case = Case((1189, 1107), samples=1, precision="int16")
    assert not _steps(convert(case), _run(convert(case), parameters=_parameters(case))).any()


def _parameters(case: Case) -> dict[str, Array]:
    graph = onnx.load_from_string(_graph(case)).graph
    return {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in graph.initializer}


@pytest.mark.parametrize("precision", ["int8", "int16"])
@pytest.mark.parametrize("widths", [(40, 70, 33, 10), (16, 33, 1)])
def test_integers_are_what_the_program_says(
    convert: Convert, widths: tuple[int, ...], precision: str
) -> None:
    """To the bit, by a second evaluation: what differs from the simulator is what the file says."""
    found = convert(Case(widths, precision=precision, samples=6))
    npu = VirtualNpu(found.file)
    dtype = np.dtype(precision)
    limit = np.iinfo(dtype)
    for seed in range(2):
        rows = np.random.default_rng(seed).integers(
            limit.min, limit.max, (6, widths[0]), dtype, endpoint=True
        )
        expected = evaluate(found.file, rows)
        np.testing.assert_array_equal(as_rows(npu.run_native(as_input(rows))), expected)


@pytest.mark.parametrize("widths", [(784, 64, 33, 10), (100, 70, 1)])
def test_float16_is_what_was_published_of_silicon(convert: Convert, widths: tuple[int, ...]) -> None:
    """To the bit, in fractions: sums in groups of 32, and what the program says of the rest."""
    found = convert(Case(widths, samples=6))
    rows = as_rows(found.inputs[0])
    outputs = as_rows(VirtualNpu(found.file).run(found.inputs[0]))
    np.testing.assert_array_equal(outputs, evaluate_floats(found.file, rows))


@pytest.mark.parametrize("precision", ["float16", "int8", "int16"])
def test_a_relu_with_a_limit(convert: Convert, precision: str) -> None:
    """int16 files hold the limit in float32's bits; the output's range, a power of two, limits instead."""
    found = convert(Case((24, 40), precision=precision, samples=6, last="Clip"))
    assert max(found.simulated.max(), CLIP) == pytest.approx(CLIP, rel=1e-2)
    if precision == "float16":
        assert not _steps(found, _run(found, arithmetic="simulator")).any()
        return
    inside = found.simulated < CLIP - 0.01
    assert _steps(found, _run(found))[inside].max() <= 1
    assert _run(found)[~inside].max() == pytest.approx(2.0 if precision == "int16" else CLIP, rel=1e-2)
    limit = np.iinfo(precision)
    rows = np.random.default_rng(0).integers(limit.min, limit.max, (6, 24), np.dtype(precision))
    output = VirtualNpu(found.file).run_native(as_input(rows))
    np.testing.assert_array_equal(as_rows(output), evaluate(found.file, rows))


def test_sums_are_shortened_where_a_bias_passes_32_bits(convert: Convert) -> None:
    """By 4 bits: biases and the output's factor are made for it."""
    found = convert(Case((64, 24), precision="int8", last="Relu", far=-200.0))
    shortened = {int(c) >> 16 & 0xFFFFFFFF for c in found.file.registers if int(c) & 0xFFFF == 0x301C}
    assert shortened == {4}
    # 16 units are a tenth of the output's step; sums as they are would be 16 times too large.
    steps = _steps(found, _run(found))
    assert np.mean(steps == 0) >= 0.95
    assert steps.max() <= 1
    rows = np.random.default_rng(0).integers(-128, 127, (16, 64), np.int8, endpoint=True)
    output = VirtualNpu(found.file).run_native(as_input(rows))
    np.testing.assert_array_equal(as_rows(output), evaluate(found.file, rows))


@pytest.mark.parametrize("widths", [(64, 10), (64, 128, 10)])
def test_int16_is_within_a_step_a_layer(convert: Convert, widths: tuple[int, ...]) -> None:
    """The program takes weights for multiples of 2**-15, the simulator of 1/32767: 3e-5 apart."""
    found = convert(Case(widths, precision="int16"))
    assert _steps(found, _run(found)).max() <= len(widths) - 1


@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize("activation", ["Tanh", "Sigmoid"])
def test_lookups_follow_the_table(convert: Convert, activation: str, precision: str) -> None:
    found = convert(Case((16, 8), samples=32, precision=precision, last=activation))
    # Tables end at 0.9952 and 0.9982 where the function goes on to 1; an int8 step is at most 2/255.
    assert np.abs(_run(found) - found.simulated).max() <= 5e-3 + (precision == "int8") * 2 / 255


LOOKUP_RULES = (
    LookupRules(),
    LookupRules(rounds=False, adds_offset=False, spikes_at_zero=False),
    LookupRules(rounds=False),
    LookupRules(adds_offset=False),
    LookupRules(sides_by_sign=True),  # the tables' join is where the sign changes
)


@pytest.mark.parametrize("rules", LOOKUP_RULES)
@pytest.mark.parametrize("activation", ["Tanh", "Sigmoid"])
def test_float16_lookups_have_the_tables_bits(convert: Convert, activation: str, rules: LookupRules) -> None:
    """Of finite float16 values of every size, by a second evaluation of the file's own table."""
    found = convert(Case((16, 16), samples=64, last=activation, identity=True))
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    values = every[np.isfinite(every)][:: 7 if activation == "Tanh" else 11]
    x = np.resize(values, (-(-len(values) // 1024), 1, 16, 64, 1))
    npu = VirtualNpu(found.file, lookup_rules=rules)
    bits = np.stack([npu.run_native(part) for part in x]).reshape(-1)[: len(values)].view(np.uint16)
    expected = np.array(table_arithmetic.evaluate(found.file, values.tolist(), rules), np.uint16)
    zeros = np.uint16(0x7FFF)
    np.testing.assert_array_equal(np.where(bits & zeros, bits, 0), np.where(expected & zeros, expected, 0))


@pytest.mark.parametrize("rules", [r for r in LOOKUP_RULES if r.adds_offset or not r.spikes_at_zero])
@pytest.mark.parametrize("activation", ["Tanh", "Sigmoid"])
def test_lookups_keep_the_converters_bound(convert: Convert, activation: str, rules: LookupRules) -> None:
    """By every rule without a spike. The result's own rounding to float16 is the bound's other part."""
    from sklearn2rknn.checking.arithmetic import TABLE_ERRORS

    found = convert(Case((16, 16), samples=64, last=activation, identity=True))
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    z = np.resize(every[np.abs(every) < 20], (40, 1, 16, 64, 1)).astype(np.float64)
    expected = np.tanh(z) if activation == "Tanh" else 1 / (1 + np.exp(-z))
    end, inside, beyond = TABLE_ERRORS["tanh" if activation == "Tanh" else "logistic"]
    npu = VirtualNpu(found.file, lookup_rules=rules)
    outputs = np.stack([npu.run(x) for x in z.astype(np.float32)])
    bound = np.where(np.abs(z) <= end, inside, beyond) + 2.0**-11 * np.abs(expected)
    assert (np.abs(outputs - expected) <= bound).all()


def test_int16_lookup_without_a_table_is_refused(convert: Convert) -> None:
    found = convert(Case((16, 8), precision="int16", last="Tanh"))
    with pytest.raises(UnsupportedProgram, match="before any table was uploaded"):
        VirtualNpu(found.file)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_softmax_agrees_with_the_simulator(convert: Convert, precision: str) -> None:
    found = convert(Case((64, 32, 10), precision=precision, last="Softmax"))
    assert {where for _, _, where in placement(found.file)} == {"NPU"}
    outputs = _run(found)
    # The exponential's table is right to 5e-4; int8 logits may differ by a step of their scale.
    assert np.abs(outputs - found.simulated).max() <= (1e-3 if precision == "float16" else 1.5e-2)
    np.testing.assert_allclose(outputs.sum(axis=2), 1, atol=5e-3)


@pytest.mark.parametrize(
    "case", [Case((64, 128, 10)), Case((304, 200, 40), samples=5), Case((64, 128, 10), samples=2047)]
)
def test_cores_give_the_same_bits(convert: Convert, case: Case) -> None:
    found = convert(case)
    one = VirtualNpu(found.file).run(found.inputs[0])
    for cores in (2, 3):
        np.testing.assert_array_equal(VirtualNpu(found.file, cores).run(found.inputs[0]), one)


def test_more_lines_than_their_register_holds_run_with_a_warning(convert: Convert) -> None:
    """A file of before: 4,096 rows write heights of up to 2,816."""
    found = convert(Case((64, 128, 10), samples=4096))
    with pytest.warns(OverWideFieldWarning, match="DATAIN_HEIGHT = 2816 is more than its 11 bits hold"):
        outputs = VirtualNpu(found.file).run(found.inputs[0])
    assert np.abs(outputs - found.simulated[0]).max() <= 4e-3  # a float16 step at 4


@pytest.mark.parametrize(
    ("precision", "last"),
    [("float16", ""), ("float16", "Softmax"), ("int8", ""), ("int8", "Softmax"), ("int16", "")],
)
def test_digest_survives_the_toolkits_noise(convert: Convert, precision: str, last: str) -> None:
    case = Case((64, 24, 10), precision=precision, last=last)
    other = Case((64, 25, 10), precision=precision, last=last)
    first = convert(case).file
    # Another process: other leavings of its memory end up in the file.
    with toolkits.open_toolkit("2.3.2") as toolkit:
        second = _build(toolkit, case).file
    assert content_digest(first) == content_digest(second)
    assert content_digest(first) != content_digest(convert(other).file)
