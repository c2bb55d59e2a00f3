"""The executor against the definition of a dense chain, on programs this suite writes itself."""

from __future__ import annotations

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.virtual_npu import reference
from tests.virtual_npu.rknn_writer import Chain, Dense, write
from virtual_npu import InputError, UnsupportedProgram, VirtualNpu, read

Array = npt.NDArray[Any]

WIDTHS = st.one_of(st.integers(1, 40), st.sampled_from([64, 65, 100, 257, 300]))
INTEGERS = st.sampled_from(["int8", "int16"])
SAMPLES = st.one_of(st.integers(1, 9), st.sampled_from([16, 33]))


def _float_chain(seed: int, widths: list[int], samples: int) -> tuple[Chain, Array]:
    rng = np.random.default_rng(seed)
    layers = [
        Dense(rng.normal(size=(k, c)) / np.sqrt(c), rng.normal(size=k), relu=i + 2 < len(widths))
        for i, (c, k) in enumerate(pairwise(widths))
    ]
    return Chain(layers, samples), rng.normal(size=(samples, widths[0])).astype(np.float16)


def _integer_chain(seed: int, channels: int, kernels: int, samples: int, dtype: str) -> tuple[Chain, Array]:
    rng = np.random.default_rng(seed)
    limit = np.iinfo(dtype).max
    layer = Dense(
        rng.integers(-limit, limit + 1, (kernels, channels)),
        rng.integers(-limit * 50, limit * 50, kernels),
        relu=bool(seed % 2),
        multipliers=rng.integers(8192, 16384, kernels),
        out_scale=int(rng.integers(16384, 32768)),
        out_shift=22 if dtype == "int8" else 30,
        zero_point=int(rng.integers(-100, 100)),
    )
    rows = rng.integers(-limit - 1, limit + 1, (samples, channels)).astype(dtype)
    return Chain([layer], samples, dtype), rows


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.lists(WIDTHS, min_size=2, max_size=5), SAMPLES)
def test_a_float16_chain_agrees_with_float64_to_rounding(seed: int, widths: list[int], samples: int) -> None:
    chain, rows = _float_chain(seed, widths, samples)
    y = reference.as_rows(VirtualNpu(read(write(chain))).run(reference.as_input(rows)))
    expected = reference.float16(chain, rows)
    # Sums in float32 and in float64 differ by at most n * 2**-24 times the sum of magnitudes (Higham,
    # Accuracy and Stability, 3.1); weights of norm 1 and inputs within 4.5 keep that sum under 4.5 * sqrt(n).
    # That may move a value across a rounding boundary of float16, by one step of at most 2**-10 of its size,
    # in every layer; what one layer moves, the next one spreads by at most the sum of its weights' sizes.
    bound = 0.0
    for layer in chain.layers:
        n = layer.weights.shape[1]
        size = 2.0**-10 * (4.5 * np.sqrt(n) + 5)
        bound = bound * np.abs(layer.weights).sum(axis=1).max() + n * 2.0**-24 * 4.5 * np.sqrt(n) + size
    assert np.abs(y - expected).max() <= bound
    assert np.mean(y == expected) > 0.6


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), WIDTHS, st.integers(1, 40), st.integers(1, 6), INTEGERS)
def test_integer_layer_is_exact(seed: int, channels: int, kernels: int, samples: int, dtype: str) -> None:
    chain, rows = _integer_chain(seed, channels, kernels, samples, dtype)
    y = VirtualNpu(read(write(chain))).run_native(reference.as_input(rows))
    assert y.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(reference.as_rows(y), reference.integers(chain.layers[0], rows, dtype))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.lists(WIDTHS, min_size=2, max_size=4), st.integers(1, 20))
def test_all_core_counts_give_the_same_bits(seed: int, widths: list[int], samples: int) -> None:
    chain, rows = _float_chain(seed, widths, samples)
    file, x = read(write(chain)), reference.as_input(rows)
    one, two, three = (VirtualNpu(file, cores).run(x) for cores in (1, 2, 3))
    np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(one, three)


def _outputs(chain: Chain, rows: Array) -> Array:
    return reference.as_rows(VirtualNpu(read(write(chain))).run(reference.as_input(rows)))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.lists(WIDTHS, min_size=2, max_size=4), st.integers(2, 70), st.booleans())
def test_a_row_does_not_depend_on_the_rows_beside_it(
    seed: int, widths: list[int], samples: int, spread: bool
) -> None:
    chain, rows = _float_chain(seed, widths, samples)
    rng = np.random.default_rng(seed)
    if spread:  # rows whose values are too far apart to be summed exactly
        rows = (rows * 2.0 ** rng.integers(-14, 8, rows.shape)).astype(np.float16)
    y = _outputs(chain, rows)
    order = rng.permutation(samples)
    np.testing.assert_array_equal(_outputs(chain, rows[order]), y[order])
    part = int(rng.integers(1, samples))
    np.testing.assert_array_equal(_outputs(Chain(chain.layers, part), rows[:part]), y[:part])
    padded = np.concatenate([rows, np.full((3, widths[0]), np.inf, np.float16)])
    np.testing.assert_array_equal(_outputs(Chain(chain.layers, samples + 3), padded)[:samples], y)


def test_bits_do_not_depend_on_threads_or_on_the_kernels_of_a_processor() -> None:
    """Haswell's kernels fuse multiplications and additions, Nehalem's cannot."""
    results = [
        subprocess.run(
            [sys.executable, "-c", _RUN_A_CHAIN],
            env={
                **os.environ,
                **chosen,
                "PYTHONPATH": ":".join(sys.path),
            },
            cwd=Path(__file__).parents[3],
            check=True,
            capture_output=True,
        ).stdout
        for chosen in (
            {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            {"OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "2", "OMP_NUM_THREADS": "2"},
        )
    ]
    here = _outputs(*_float_chain(3, _WIDTHS, 64)).tobytes()
    assert results == [here, here]
    assert len(results[0]) == 64 * 12 * 4


_WIDTHS = [784, 512, 300, 12]
_RUN_A_CHAIN = f"""
import sys
from {__package__}.test_virtual_npu import _float_chain, _outputs
sys.stdout.buffer.write(_outputs(*_float_chain(3, {_WIDTHS}, 64)).tobytes())
"""


def test_an_unknown_rule_is_refused() -> None:
    chain, _ = _float_chain(3, [8, 4], 2)
    with pytest.raises(ValueError, match="silicon, simulator, fast"):
        VirtualNpu(read(write(chain)), arithmetic="quick")  # type: ignore[arg-type]


def test_the_option_of_before_is_taken_with_a_warning() -> None:
    chain, rows = _float_chain(3, [8, 4], 2)
    with pytest.warns(DeprecationWarning, match="arithmetic='silicon'"):
        before = VirtualNpu(read(write(chain)), sums="exact")
    x = reference.as_input(rows)
    assert np.array_equal(before.run(x), VirtualNpu(read(write(chain))).run(x))


def _tanh_table() -> tuple[Array, Array]:
    at = np.arange(513) * 32 / 5424
    high = np.round(np.tanh(at) * 32768)
    return -high[::-1], high


def test_lookup_follows_the_table_and_holds_its_ends() -> None:
    layer = Dense(np.eye(8), np.zeros(8), table=_tanh_table(), factor=5424.0)
    chain = Chain([layer], samples=64)
    rows = np.linspace(-12, 12, 512).reshape(64, 8).astype(np.float16)
    y = reference.as_rows(VirtualNpu(read(write(chain))).run(reference.as_input(rows)))
    # float32 against float64: a part in 2**21 of the table's step, at most one float16 step.
    assert reference.halfway_steps(y, reference.float16(chain, rows)).max() <= 1
    assert y.max() == np.float16(np.round(np.tanh(3.0206) * 32768) / 32768)


def test_state_does_not_leak_between_runs() -> None:
    chain, rows = _float_chain(1, [20, 30, 4], 5)
    npu = VirtualNpu(read(write(chain)))
    first = npu.run(reference.as_input(rows))
    npu.run(reference.as_input(np.full_like(rows, np.nan)))
    np.testing.assert_array_equal(npu.run(reference.as_input(rows)), first)


def test_nonfinite_values_pass_through() -> None:
    chain, rows = _float_chain(2, [8, 4], 2)
    rows[1] = np.inf
    y = reference.as_rows(VirtualNpu(read(write(chain))).run(reference.as_input(rows)))
    assert np.isfinite(y[0]).all()
    assert not np.isfinite(y[1]).any()


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((1, 8, 3, 1)), "takes shape"),
        (np.zeros((8, 2)), "takes shape"),
        (np.full((1, 8, 2, 1), "a"), "not numbers"),
        ([[1], [1, 2]], "no array"),
    ],
)
def test_bad_inputs_are_refused(x: Any, message: str) -> None:
    chain, _ = _float_chain(3, [8, 4], 2)
    with pytest.raises(InputError, match=message):
        VirtualNpu(read(write(chain))).run(x)


def test_native_input_must_have_the_stored_type() -> None:
    chain, rows = _float_chain(3, [8, 4], 2)
    with pytest.raises(InputError, match="stores float16"):
        VirtualNpu(read(write(chain))).run_native(reference.as_input(rows).astype(np.float32))


# --- planted faults: a program that is wrong must show, as a wrong result or as a refusal ------------------


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        ("output shift one too large", {0x4088: 23}),
        ("output scale halved", {0x4084: 10000}),
        ("zero point off by one", {0x4080: 8}),
        ("operand scale not read", {0x501C: 2}),
        ("ReLU where none was", {0x4060: 0x12}),
        ("lines one atom short", {0x107C: 3}),
        ("surface one atom short", {0x1080: (4 - 5) & 0xFFFFFFF}),
        ("destination surface one atom long", {0x4024: 80}),
        ("weights of one kernel one atom short", {0x1034: 16}),
        ("one channel fewer", {0x1024: 18 << 16 | 32}),
        ("sums shortened by a bit", {0x301C: 1}),
    ],
)
def test_planted_fault_is_caught(name: str, edit: dict[int, int]) -> None:
    rng = np.random.default_rng(7)
    layer = Dense(
        rng.integers(-127, 128, (20, 20)),
        rng.integers(-5000, 5000, 20),
        multipliers=rng.integers(8192, 16384, 20),
        out_scale=20000,
        out_shift=22,
        zero_point=7,
    )
    rows = rng.integers(-128, 128, (4, 20)).astype(np.int8)
    expected = reference.integers(layer, rows, "int8")

    def result(chain: Chain) -> Array:
        return reference.as_rows(VirtualNpu(read(write(chain))).run_native(reference.as_input(rows)))

    np.testing.assert_array_equal(result(Chain([layer], 4, "int8")), expected)
    try:
        faulty = result(Chain([layer], 4, "int8", edit={0: edit}))
    except UnsupportedProgram:
        return
    assert not np.array_equal(faulty, expected), name


def test_swapped_tables_are_caught() -> None:
    low, high = _tanh_table()
    rows = np.linspace(-3, 3, 64).reshape(8, 8).astype(np.float16)
    results = []
    for table in ((low, high), (high, low)):
        chain = Chain([Dense(np.eye(8), np.zeros(8), table=table, factor=5424.0)], samples=8)
        results.append(VirtualNpu(read(write(chain))).run(reference.as_input(rows)))
    assert not np.array_equal(results[0], results[1])


@pytest.mark.parametrize(
    ("edit", "unit", "register"),
    [
        ({0x100C: 2 << 7 | 2 << 4 | 1}, "CNA", "CONV_MODE"),
        ({0x100C: 4 << 7 | 4 << 4}, "CNA", "PROC_PRECISION"),
        ({0x1014: 0b010010}, "CNA", "CONV_CON3"),
        ({0x301C: 3}, "CORE", "CLIP_TRUNCATE"),  # of float16
        ({0x301C: 1 << 6}, "CORE", "CLIP_ROUND_TYPE"),
        ({0x4040: 0x00150}, "DPU", "BS_ALU_ALGO"),
        ({0x4070: 0x302}, "DPU", "EW_LUT_BYPASS"),
        ({0x4034: 1 << 22 | 1}, "DPU", "MINMAX_CTL"),
        ({0x5044: 2 << 15 | 0x110}, "DPU_RDMA", "RDMA_COMB_USE"),
        ({0x40C4: 5}, "DPU", "0x40c4"),
        ({0x4050: 0x124, 0x4054: 1}, "DPU", "OD_BYPASS"),  # offsets of float16
        ({0x100C: 2 << 7}, "CNA", "IN_PRECISION"),
        ({0x3010: 0}, "CORE", "PROC_PRECISION"),
        ({0x1068: 1}, "CNA", "PAD_CON0"),
        ({0x1060: 1}, "CNA", "FC_SKIP_EN"),
        ({0x1100: 1}, "CNA", "DECOMP_CONTROL"),
        ({0x104C: 0b1010}, "CNA", "CVT_BYPASS"),
        ({0x1038: 2 << 24 | 1 << 16 | 4}, "CNA", "WEIGHT_WIDTH"),
        ({0x1038: 1 << 24 | 2 << 16 | 4}, "CNA", "WEIGHT_HEIGHT"),
        ({0x1030: 16}, "CNA", "WEIGHT_SIZE0"),
        ({0x3014: 5 << 16}, "CORE", "DATAOUT_SIZE_0"),
        ({0x3018: 127}, "CORE", "DATAOUT_CHANNEL"),
    ],
)
def test_what_is_not_modelled_is_refused_by_name(edit: dict[int, int], unit: str, register: str) -> None:
    chain, _ = _float_chain(4, [8, 4], 2)
    chain.edit[0] = edit
    with pytest.raises(UnsupportedProgram) as caught:
        VirtualNpu(read(write(chain)))
    assert (caught.value.unit, caught.value.register) == (unit, register)
