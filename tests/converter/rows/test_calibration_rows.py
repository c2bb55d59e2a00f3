"""The rows that integers take their ranges from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import scirknn
from scirknn.arrays import Floats
from sklearn2rknn import (
    ConversionOptions,
    ExampleInputWarning,
    OptionError,
    Toolkit,
    convert,
    network_from_estimator,
)
from sklearn2rknn.rows.calibration_rows import calibration_rows
from tests.converter.fitted import fit


def heavy_tailed(n: int, columns: int = 3) -> Floats:
    return np.random.default_rng(1).standard_t(2, (n, columns))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(1, 80), st.integers(0, 2**32))
def test_rows_are_of_the_example_and_their_number_is_kept(n: int, count: int, seed: int) -> None:
    network, rows = network_from_estimator(fit("softmax")[0]), heavy_tailed(n)
    chosen = calibration_rows(network, rows, count, seed)
    own = chosen[: min(n, count)]
    known = {row.tobytes() for row in rows}
    assert len({row.tobytes() for row in own}) == len(own) == min(n, count)
    assert {row.tobytes() for row in own} <= known
    assert len(chosen) <= len(own) + max(1, count // 2)
    assert np.array_equal(chosen, calibration_rows(network, rows, count, seed))


def test_extremes_of_features_and_hidden_units_are_among_them() -> None:
    network, rows = network_from_estimator(fit("softmax", hidden=(9, 6))[0]), heavy_tailed(3000)
    chosen = calibration_rows(network, rows, 100, 0)[:100]
    for full, few in zip(
        [rows, *network.activations(rows)], [chosen, *network.activations(chosen)], strict=True
    ):
        np.testing.assert_array_equal(full.max(axis=0), few.max(axis=0))
        np.testing.assert_array_equal(full.min(axis=0), few.min(axis=0))


def test_ranges_reach_a_tenth_beyond_the_example() -> None:
    network, rows = network_from_estimator(fit("softmax")[0]), heavy_tailed(3000)
    chosen, middle = calibration_rows(network, rows, 100, 0), rows.mean(axis=0)
    np.testing.assert_allclose(chosen.max(axis=0) - middle, 1.1 * (rows.max(axis=0) - middle))


def test_seed_draws_others() -> None:
    network, rows = network_from_estimator(fit("softmax")[0]), heavy_tailed(3000)
    first, second = (calibration_rows(network, rows, 100, seed) for seed in (0, 1))
    assert not np.array_equal(first, second)


@pytest.mark.parametrize("algorithm", ["normal", "mmse"])
def test_rows_and_seed_are_options(tmp_path: Path, toolkit: Toolkit, algorithm: str) -> None:
    estimator, X = fit("one output", activation="relu")
    X = np.vstack([X] * 10) + heavy_tailed(400) / 10
    path, found = tmp_path / "model.rknn", set()
    choices: list[dict[str, Any]] = [{}, {"calibration_seed": 1}, {"calibration_rows": 20}]
    for options in choices:
        convert(
            estimator,
            path,
            precision="int8",
            example_input=X,
            toolkit=toolkit,
            options=ConversionOptions(quantized_algorithm=algorithm, min_r2=0.9, **options),
        )
        with scirknn.load(path, device="virtual") as model:
            found.add(model.predict(X).tobytes())
    # "normal" goes by the extremes, which are always there; "mmse" by how the others lie.
    assert (len(found) == 1) == (algorithm == "normal")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"calibration_rows": 0}, "calibration_rows is 0; it can be an integer from 1 on"),
        ({"calibration_rows": 2.5}, "calibration_rows is 2.5"),
        ({"calibration_rows": True}, "calibration_rows is True"),
        ({"calibration_seed": -1}, "calibration_seed is -1; it can be an integer from 0 on"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        ConversionOptions(**options)


def test_constant_columns_are_warned_of(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, X = fit("softmax")
    X[:, 1] = 3.0
    with pytest.warns(ExampleInputWarning, match=r"one value only in column 1\. .*drop it before fit"):
        convert(estimator, tmp_path / "model.rknn", precision="int8", example_input=X, toolkit=toolkit)
