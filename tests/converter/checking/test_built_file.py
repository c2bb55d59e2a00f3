"""What is refused of a file that is not run: layers on the CPU, and values that registers cannot hold."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sklearn2rknn import ConversionError, CpuFallbackError
from sklearn2rknn.checking.built_file import inspect_file
from tests.virtual_npu.rknn_writer import Chain, Dense, small, write
from virtual_npu import RknnFile, content_digest, read


def with_first_layer_on_cpu(kind: str) -> RknnFile:
    """Return a file of two layers, the first of which is of this type and on the CPU."""
    file = read(small())
    start, first, *others = file.nodes
    return replace(file, nodes=(start, replace(first, type=kind, placement="CPU"), *others))


@pytest.mark.parametrize(
    ("kind", "form", "is_refused"),
    [
        ("ConvRelu", "conv", True),
        ("Reshape", "conv", True),
        ("Gemm", "matmul", True),
        ("Reshape", "matmul", False),
        ("Transpose", "matmul", False),
    ],
)
def test_a_layer_on_the_cpu_is_refused_unless_it_computes_nothing_or_is_allowed(
    kind: str, form: str, is_refused: bool
) -> None:
    content = with_first_layer_on_cpu(kind)
    allowed = inspect_file(b"", content, form=form, allow_cpu=True)
    layers = [["Conv:0", kind, "CPU"], ["Conv:1", "Conv", "NPU"]]
    assert allowed.placement == {"npu": 1, "cpu": 1, "layers": layers}
    if is_refused:
        with pytest.raises(CpuFallbackError, match=rf"placed on the CPU: Conv:0 \({kind}\)\. Pass"):
            inspect_file(b"", content, form=form, allow_cpu=False)
    else:
        assert inspect_file(b"", content, form=form, allow_cpu=False).placement == allowed.placement


def test_a_value_that_a_register_cannot_hold_is_refused() -> None:
    layer = Dense(np.ones((3, 8)), np.zeros(3))
    content = read(write(Chain([layer], samples=4, edit={0: {0x4034: 1 << 13}})))
    with pytest.raises(ConversionError, match=r"HEIGHT = 8192 is more than its 13 bits.* smaller batch"):
        inspect_file(b"", content, form="conv", allow_cpu=True)


def test_a_file_that_cannot_be_read_says_why_in_place_of_its_layers() -> None:
    built = inspect_file(b"", "no such format", form="conv", allow_cpu=False)
    assert built.placement == {"npu": 0, "cpu": 0, "layers": [], "unknown": "no such format"}
    assert (built.content_digest, built.evidence) == ("", "")
    content = read(small())
    assert inspect_file(b"", content, form="conv", allow_cpu=False).content_digest == content_digest(content)
