"""Files for other chips: the same graph's program on an RK3588 is the judge, and the file's own table.

What the RK3588's programs compute is held to the simulator and to second evaluations elsewhere. Here only the
reading of the registers and of the layout differs, so the same stored values must come out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.virtual_npu import table_arithmetic
from virtual_npu import (
    LookupRules,
    RknnFile,
    UnsupportedProgram,
    VirtualNpu,
    VirtualNpuError,
    placement,
    read,
)
from virtual_npu.inspection.disassembly import disassemble
from virtual_npu.program.chips import by_name

pytest.importorskip("onnx", reason="onnx is not installed: no graphs to convert")
toolkits = pytest.importorskip(
    "sklearn2rknn.toolkit.toolkit", reason="sklearn2rknn is not installed: no converter"
)

from tests.virtual_npu_agreement.artifacts import Artifact, build  # noqa: E402

Array = npt.NDArray[Any]
Files = Callable[[Artifact], RknnFile]
PLATFORMS = ("rk3562", "rk3566", "rk3568", "rk3576")
SHORTENED = ("rk3562", "rk3576")  # int16 sums and biases lose bits there that an RK3588 keeps


def artifact(precision: str, widths: tuple[int, ...], hidden: str, last: str = "", **other: Any) -> Artifact:
    options = {"form": "conv", "samples": 9, "seed": 1, "toolkit": "2.3.2", **other}
    return Artifact(precision=precision, widths=widths, hidden=hidden, last=last, **options)


ODD = (40, 70, 1, 33, 10)
LINEAR = [
    *(artifact(precision, ODD, "Relu") for precision in ("float16", "int8")),
    artifact("int16", (40, 70, 33, 10), "Relu"),
    artifact("float16", (40, 70, 10), "Relu", samples=2048),
    artifact("int8", (40, 70, 10), "Relu", form="matmul", samples=8),
    artifact("int8", (200, 33), "", samples=1),
]
LOOKUPS = [
    artifact("int8", (16, 24, 5), "Tanh"),
    artifact("int8", (16, 24, 5), "Sigmoid", "Sigmoid"),
    artifact("float16", (16, 24), "", "Tanh"),
    artifact("float16", (16, 24, 5), "Refined"),
]


@pytest.fixture(scope="module")
def files() -> Iterator[Files]:
    """Convert with toolkit 2.3.2, each network once for each chip."""
    from sklearn2rknn.errors import ToolkitError

    try:
        toolkit = toolkits.open_toolkit("2.3.2")
    except ToolkitError as error:
        pytest.skip(f"rknn-toolkit2 2.3.2 cannot be had on this machine: {error}")
    done: dict[Artifact, RknnFile] = {}

    def converted(wanted: Artifact) -> RknnFile:
        if wanted not in done:
            done[wanted] = read(build(toolkit, wanted)[1].rknn)
        return done[wanted]

    with toolkit:
        yield converted


def _stored(file: RknnFile, cores: int = 1) -> Array:
    """Run stored values of every size through it."""
    tensor, rng = file.inputs[0], np.random.default_rng(0)
    values: Array = rng.normal(size=tensor.shape).astype(np.float16)
    if tensor.dtype != "float16":
        limits = np.iinfo(tensor.dtype)
        values = rng.integers(limits.min, limits.max, tensor.shape, tensor.dtype, endpoint=True)
    return VirtualNpu(file, cores).run_native(values)


def _both(files: Files, wanted: Artifact, platform: str) -> tuple[Array, Array]:
    return _stored(files(replace(wanted, platform=platform))), _stored(files(wanted))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("wanted", LINEAR, ids=lambda a: f"{a.precision} {a.form} {a.samples}")
def test_linear_layers_give_an_rk3588s_bits(files: Files, wanted: Artifact, platform: str) -> None:
    found, expected = _both(files, wanted, platform)
    if wanted.form == "matmul":  # one output factor differs by one: 0x5855 for an RK3562, 0x5854 else
        assert np.abs(found.astype(int) - expected).max() <= (platform == "rk3562")
    elif wanted.precision == "int16" and platform in SHORTENED:
        # Each layer's sums and biases are rounded before they are scaled: less than a step, and a step on.
        assert np.abs(found.astype(int) - expected).max() <= len(wanted.widths) - 1
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("wanted", LOOKUPS, ids=lambda a: f"{a.precision} {a.hidden} {a.last}")
def test_lookups_are_an_rk3588s(files: Files, wanted: Artifact, platform: str) -> None:
    found, expected = _both(files, wanted, platform)
    if wanted.precision == "float16" and platform in ("rk3566", "rk3568"):
        # Rounded once more before it is scaled, by 0.99979 of 2^-15: less than 2^-12 and a rounding, so a
        # step or two of a lookup, and the program has no offset of 2^-15; behind another layer 24 such in one
        # sum.
        apart = np.abs(found.astype(np.float64) - expected)
        single = wanted.last == "Tanh"
        assert (apart <= (2.0**-15 + 2 * 2.0**-10 * np.abs(expected) if single else 8e-3)).all()
    else:
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("last", ["Tanh", "Sigmoid"])
def test_float16_lookups_have_the_tables_bits(files: Files, last: str) -> None:
    """On an RK3566 a float16 passes the PPU; by a second evaluation, of every weight alone."""
    file = files(artifact("float16", (8, 8), "", last, samples=64, platform="rk3566"))
    # Weights of identity and no bias: 8 kernels of 8 channels lie row by row.
    buffers = [np.array(buffer) for buffer in file.buffers]
    weights, biases = (buffers[file.tensors[i].buffer] for i in file.nodes[1].inputs[1:3])
    weights[:128], biases[:] = np.eye(8, dtype=np.float16).ravel().view(np.uint8), 0
    file = replace(file, buffers=tuple(buffers))
    values = np.linspace(-9, 9, 512).astype(np.float16)
    output = VirtualNpu(file).run_native(values.reshape(1, 8, 64, 1))
    bits = table_arithmetic.evaluate(file, values.tolist(), LookupRules())
    expected = np.array(bits, np.uint16).view(np.float16)
    np.testing.assert_array_equal(output.ravel(), expected)


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_two_cores_of_an_rk3576_give_the_same_bits(files: Files, precision: str) -> None:
    for hidden in ("Relu", "Tanh"):
        file = files(artifact(precision, (16, 48, 8), hidden, samples=16, platform="rk3576"))
        np.testing.assert_array_equal(_stored(file, 2), _stored(file))


@pytest.mark.parametrize("platform", PLATFORMS)
def test_an_int16_lookup_is_refused_unless_its_table_is_uploaded(files: Files, platform: str) -> None:
    """Uploaded for an RK3566 and RK3568; for the others the program looks up what was left there."""
    wanted = artifact("int16", (16, 8), "", "Tanh", samples=32, platform=platform)
    file = files(wanted)
    if platform in SHORTENED:
        with pytest.raises(UnsupportedProgram, match="before any table was uploaded"):
            VirtualNpu(file)
        return
    x = np.random.default_rng(0).normal(size=file.inputs[0].shape).astype(np.float32)
    exact = VirtualNpu(files(artifact("float16", (16, 8), "", "Tanh", samples=32))).run(x)
    # The tables end at 0.9952 alike; float16's own rounding and its inputs' are within 2e-3.
    assert np.abs(VirtualNpu(file).run(x) - exact).max() <= 2e-3


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_is_not_known_is_refused(files: Files, platform: str) -> None:
    for wanted, said in (
        (artifact("float16", (16, 10), "", "Softmax", samples=16), "Softmax|not known of this chip"),
        (artifact("float16", (3, 8), "", samples=16), "not known of this chip"),
    ):
        with pytest.raises(UnsupportedProgram, match=said):
            VirtualNpu(files(replace(wanted, platform=platform)))
    file = files(artifact("float16", (16, 24), "", "Tanh", platform=platform))
    assert all(where == "NPU" for _, _, where in placement(file))
    with pytest.raises(UnsupportedProgram, match="cores"):
        VirtualNpu(file, 3)
    # Every register has a name or an address, and lookups are seen where they are.
    assert sum("LUT_ACCESS_DATA" in line for line in disassemble(file)) >= 1026


@pytest.mark.parametrize(
    ("platform", "fault"),
    [
        ("rk3566", {"operand_group": 8}),
        ("rk3566", {"kernel_groups": {1: 32, 2: 16}}),
        ("rk3566", {"channel_blocks": {1: 16, 2: 16}}),
        ("rk3562", {"operand_group": 8}),
        ("rk3562", {"kernel_groups": {1: 32, 2: 16}}),
        ("rk3576", {"operand_group": 4}),
        ("rk3576", {"even_kernels": False}),
        ("rk3576", {"translate": None}),
    ],
)
def test_fault_is_caught(
    files: Files, platform: str, fault: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = LINEAR[1]  # int8
    file, expected = files(replace(wanted, platform=platform)), _stored(files(wanted))
    monkeypatch.setitem(by_name._CHIPS, platform, replace(by_name._CHIPS[platform], **fault))
    with pytest.raises((AssertionError, VirtualNpuError)):
        np.testing.assert_array_equal(_stored(file), expected)
