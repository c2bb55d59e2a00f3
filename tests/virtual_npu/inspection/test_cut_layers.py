"""Which sums a program stores in the middle of a layer, from the layers of its file."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from virtual_npu import CutLayer, RknnFile, UnsupportedProgram, cut_layers

SIZES = [1536, 1536, 928]


def file_of(results: dict[str, int], *nodes: tuple[str, str, list[str], str]) -> RknnFile:
    """Return a file with a Split of these results (names and channels) and the nodes behind it."""
    names = ["x", "sizes", *results, *dict.fromkeys(n for node in nodes for n in (*node[2], node[3]))]
    names = list(dict.fromkeys(names))

    def tensor(name: str) -> Any:
        is_sizes = name == "sizes"
        shape = (len(SIZES),) if is_sizes else (1, results.get(name, 8), 4, 1)
        return SimpleNamespace(
            name=name, dtype="int64" if is_sizes else "float16", shape=shape, buffer=int(is_sizes)
        )

    rows = [("Split", "split", ["x", "sizes"], list(results)), *((*node[:3], [node[3]]) for node in nodes)]
    layers = [
        SimpleNamespace(
            index=i,
            type=kind,
            name=name,
            placement="NPU",
            inputs=tuple(names.index(each) for each in inputs),
            outputs=tuple(names.index(each) for each in outputs),
        )
        for i, (kind, name, inputs, outputs) in enumerate(rows)
    ]
    buffers = (np.zeros(0, np.uint8), np.array(SIZES, "<i8").view(np.uint8))
    return cast(RknnFile, SimpleNamespace(nodes=layers, tensors=[tensor(n) for n in names], buffers=buffers))


ALL = {"x_split": 1536, "x_split_o1": 1536, "x_split_o2": 928}


def test_each_sum_but_the_last_is_stored() -> None:
    file = file_of(
        ALL,
        ("Conv", "Conv:a_tile1", ["x_split_o1", "w1"], "one"),
        ("ConvAdd", "Conv:a_tile0_ConvAdd", ["x_split", "w0", "b", "one"], "two"),
        ("ConvAddRelu", "Conv:a_tile2_ConvAddRelu", ["x_split_o2", "w2", "two"], "h"),
        ("Conv", "Conv:y", ["h", "w", "c"], "y"),
    )
    first, second = (1536, 3072), (0, 1536)
    assert cut_layers(file) == (CutLayer("Conv:a_tile2_ConvAddRelu", ((first,), (second, first))),)


def test_a_part_without_weights_is_a_constant_that_was_stored_too() -> None:
    file = file_of(
        {name: ALL[name] for name in ("x_split", "x_split_o2")},  # nothing takes the second
        ("Conv", "Conv:a_tile0", ["x_split", "w0", "b"], "one"),
        ("Add", "Add:a_tile0_conv_add", ["one", "constant"], "two"),
        ("ConvAdd", "Conv:a_tile2_ConvAdd", ["x_split_o2", "w2", "two"], "y"),
    )
    assert cut_layers(file) == (CutLayer("Conv:a_tile2_ConvAdd", (((0, 1536),), (), ((0, 1536),))),)


@pytest.mark.parametrize("results", [{"x_split": 928}, {"x_split_o3": 1536}])
def test_a_result_of_unknown_channels_is_refused(results: dict[str, int]) -> None:
    with pytest.raises(UnsupportedProgram, match="Split"):
        cut_layers(file_of(results))


def test_a_sum_that_takes_channels_twice_is_refused() -> None:
    product = ("Conv", "a", ["x_split", "w"], "sum0")
    doubled = [("Add", f"b{i}", [f"sum{i}", f"sum{i}"], f"sum{i + 1}") for i in range(60)]
    with pytest.raises(UnsupportedProgram, match="twice"):  # not 2^60 ranges
        cut_layers(file_of(ALL, product, *doubled))
