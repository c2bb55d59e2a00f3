"""int8 and int16 on rows outside the range of twelve example rows.

The networks are drawn, not fitted, so that no processor makes others.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import scirknn
from scirknn.arrays import Floats
from scirknn.bundle import read_bundle
from sklearn2rknn import (
    ConversionOptions,
    ExampleInputWarning,
    Toolkit,
    convert,
    network_from_estimator,
    open_toolkit,
)
from sklearn2rknn.checking.check_result import CheckResult
from sklearn2rknn.network.layer import CLIPPED_TANH, Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.passes.prepare_network import prepare_network
from sklearn2rknn.rows.calibration_rows import STRETCH, calibration_rows, input_range
from sklearn2rknn.rows.reach import REACH, WIDEST, with_reach
from tests.counts import FULL

VERSIONS = ("2.2.0", "2.3.0", "2.3.2", "2.5.0") if FULL else ("2.3.2",)
FEATURES, HIDDEN, ROWS = 6, (16, 12), 12
SIZES = 10.0 ** np.linspace(-2, 3, FEATURES)
KINDS = ("one output", "three outputs", "two classes", "three classes")


@pytest.fixture(scope="module", params=VERSIONS)
def any_toolkit(request: pytest.FixtureRequest) -> Iterator[Toolkit]:
    with open_toolkit(request.param) as toolkit:
        yield toolkit


def drawn(kind: str, activation: str) -> Any:
    """Return an estimator with weights of numpy's generator, which are the same everywhere."""
    rng = np.random.default_rng(11)
    X, outputs = rng.standard_normal((6, FEATURES)), 3 if kind.startswith("three") else 1
    options: dict[str, Any] = {"hidden_layer_sizes": HIDDEN, "activation": activation, "max_iter": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if kind.endswith("classes"):
            estimator: Any = MLPClassifier(**options).fit(X, np.arange(6) % max(2, outputs))
        else:
            estimator = MLPRegressor(**options).fit(X, X[:, :outputs] if outputs > 1 else X[:, 0])
    widths = (FEATURES, *HIDDEN, outputs)
    estimator.coefs_ = [
        1.5 * rng.standard_normal((before, after)) / np.sqrt(before) for before, after in pairwise(widths)
    ]
    estimator.coefs_[0] /= SIZES[:, None]
    estimator.intercepts_ = [0.3 * rng.standard_normal(after) for after in widths[1:]]
    return estimator


def example() -> Floats:
    return SIZES * np.random.default_rng(12).standard_normal((ROWS, FEATURES)) + 2 * SIZES


def outside(rows: Floats, count: int = 200) -> Floats:
    """Return rows as far as three times the half width of `rows` from their middle, and `rows` again."""
    low, high = rows.min(axis=0), rows.max(axis=0)
    rng = np.random.default_rng(13)
    far = rng.uniform(-3, 3, (count, FEATURES))
    far[::4] = rng.choice([-3.0, 3.0], (len(far[::4]), FEATURES))
    return np.vstack([rows, (low + high) / 2 + (high - low) / 2 * far])


def rows_outside(X: Floats, rows: Floats) -> Any:
    """Say which numbers of X are outside, by the definition and no code of ours."""
    mean = rows.sum(axis=0) / len(rows)
    least, greatest = np.sort(rows, axis=0)[[0, -1]]
    low, high = mean - 1.1 * (mean - least), mean + 1.1 * (greatest - mean)
    return (low > X) | (high < X)


def worst_r2(found: Any, expected: Floats) -> float:
    found = np.asarray(found, np.float64).reshape(expected.shape)
    errors, spread = (found - expected) ** 2, (expected - expected.mean(axis=0)) ** 2
    return float((1 - errors.sum(axis=0) / spread.sum(axis=0)).min())


@pytest.mark.parametrize("precision", ["int16", "int8"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activation", ["relu", "tanh", "identity", "logistic"])
def test_rows_outside_are_counted_and_int16_holds_them(
    activation: str, kind: str, precision: str, any_toolkit: Toolkit, tmp_path: Path
) -> None:
    estimator, rows = drawn(kind, activation), example()
    X, path = outside(rows), tmp_path / "model.rknn"
    with pytest.warns(ExampleInputWarning, match="has 12 rows"):
        convert(
            estimator,
            path,
            precision=precision,
            example_input=rows,
            toolkit=any_toolkit,
            options=ConversionOptions(check="off"),
        )
    is_outside = rows_outside(X, rows)
    with scirknn.load(path, device="virtual") as model:
        count = int(is_outside.any(axis=1).sum())
        assert 100 < count < len(X)
        with pytest.warns(scirknn.InputRangeWarning, match=f"^{count} of {len(X)} rows have inputs"):
            raw = model.raw_output(X)
        counts = model.input_range_counts
        assert counts is not None
        assert (counts.rows, counts.rows_outside) == (len(X), count)
        assert counts.inputs == {f"column {i}": n for i, n in enumerate(is_outside.sum(axis=0).tolist())}
        if precision == "int8":
            return
        network = network_from_estimator(estimator)
        expected = network.forward(X)
        assert worst_r2(raw, expected) >= 0.999
        if network.task == "classifier":
            spread = np.abs(expected).max()
            ranked = np.sort(expected, axis=1)
            gap = ranked[:, -1] - ranked[:, -2] if expected.shape[1] > 1 else np.abs(expected[:, 0])
            clear = gap > spread / 500
            assert clear.sum() > 150
            assert (model.predict(X)[clear] == estimator.predict(X)[clear]).all()


@pytest.mark.parametrize("activation", ["relu", "tanh", "identity", "logistic"])
def test_every_tensor_holds_rows_three_times_as_far(activation: str) -> None:
    rows = example()
    network = prepare_network(network_from_estimator(drawn("three outputs", activation)), rows, "int16")
    chosen, X = calibration_rows(network, rows, 256, 0), outside(rows, 4000)
    held = [network.prepare(chosen), *network.activations(chosen)]
    met = [network.prepare(X), *network.activations(X)]
    for tensor, values in zip(held, met, strict=True):
        # As int16 has it: the next power of two.
        assert np.abs(values).max() <= 2.0 ** np.ceil(np.log2(np.abs(tensor).max()))


@pytest.mark.parametrize("activation", ["relu", "tanh", "identity", "logistic"])
def test_no_tensor_loses_more_than_four_bits(activation: str) -> None:
    network = network_from_estimator(drawn("three outputs", activation))
    # Outputs that hardly vary in the example: rows around it would take all bits.
    last = network.layers[-1]
    steep = Layer(last.weights * 1e3, last.bias, "identity")
    rows = example()[:1] + 1e-3 * (example() - example()[:1])
    for each in (network, attrs.evolve(network, layers=(*network.layers[:-1], steep))):
        reached = with_reach(each, rows)
        assert reached.reach is not None
        for own, far in zip(each.activations(rows), each.activations(reached.reach.rows), strict=True):
            assert np.abs(far).max() <= 1.0001 * WIDEST * np.abs(own).max()


def test_far_rows_stay_in_the_box_and_are_the_same_each_time() -> None:
    network, rows = network_from_estimator(drawn("three outputs", "relu")), example()
    first, second = with_reach(network, rows).reach, with_reach(network, rows).reach
    assert first is not None
    assert second is not None
    low, high = rows.min(axis=0), rows.max(axis=0)
    np.testing.assert_array_equal(first.rows, second.rows)
    far = np.abs(first.rows - (low + high) / 2) / ((high - low) / 2)
    assert far.max() <= REACH * (1 + 1e-9)
    assert far.max() > REACH * (1 - 1e-9)


def test_no_far_rows_where_no_column_varies() -> None:
    network = network_from_estimator(drawn("one output", "relu"))
    assert with_reach(network, example()[:1]).reach is None


@pytest.mark.parametrize(("passing", "room"), [(1, 4.0), (2, 2.0), (3, 1.0), (9, 1.0)])
def test_room_is_given_up_where_the_check_misses_its_bits(
    passing: int, room: float, toolkit: Toolkit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    checks: list[Any] = []

    def failed_limit(check: CheckResult, required: Any) -> str:
        if not checks or checks[-1] is not check:
            checks.append(check)
        return "" if len(checks) >= passing else "planted"

    monkeypatch.setattr(CheckResult, "failed_limit", failed_limit)
    path = tmp_path / "model.rknn"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert(
            drawn("one output", "tanh"),
            path,
            precision="int16",
            example_input=example(),
            toolkit=toolkit,
            options=ConversionOptions(check="warn"),
        )
    held = read_bundle(path).input_range
    assert held is not None
    assert held.room == room


def test_int8_keeps_its_ranges() -> None:
    network, rows = network_from_estimator(drawn("one output", "relu")), example()
    eight = prepare_network(network, rows, "int8")
    assert eight.reach is None
    assert input_range(network, eight, rows).room == 1.0
    assert prepare_network(network, rows, "int16").reach is not None


def test_range_is_in_the_units_of_x() -> None:
    network, rows = network_from_estimator(drawn("one output", "relu")), example()
    made = prepare_network(network, rows, "int16")
    found = input_range(network, made, rows)
    mean = rows.mean(axis=0)
    np.testing.assert_allclose(found.low, mean + STRETCH * (rows.min(axis=0) - mean))
    np.testing.assert_allclose(found.high, mean + STRETCH * (rows.max(axis=0) - mean))
    assert found.rows == ROWS
    assert 1 < found.room <= REACH


def test_halves_of_tanh_keep_their_range() -> None:
    network: Network = prepare_network(
        network_from_estimator(drawn("one output", "tanh")), example(), "int16"
    )
    halves = [layer.activation == CLIPPED_TANH for layer in network.layers]
    assert halves == [True, True, False]
    results = network.activations(calibration_rows(network, example(), 256, 0))
    for values, is_half in zip(results, halves, strict=True):
        assert np.abs(values).max() <= 1 or not is_half


def test_a_pipeline_counts_by_feature(toolkit: Toolkit, tmp_path: Path) -> None:
    rng = np.random.default_rng(14)
    X = np.array(
        [[rng.normal(50, 9), word, rng.normal(-3, 1)] for word in ["a", "b", "c"] * 20], dtype=object
    )
    steps = ColumnTransformer([("n", StandardScaler(), [0, 2]), ("c", OneHotEncoder(), [1])])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = MLPRegressor(hidden_layer_sizes=(5,), max_iter=3, random_state=0)
        model = make_pipeline(steps, network).fit(X, X[:, 0])
        rows = X[X[:, 1] != "c"]
        path = tmp_path / "model.rknn"
        convert(
            model,
            path,
            precision="int16",
            example_input=rows,
            toolkit=toolkit,
            options=ConversionOptions(check="off"),
        )
    given = np.array([rows[0], [120.0, "a", -3.0], [50.0, "c", -3.0], [50.0, "b", -30.0]], dtype=object)
    with scirknn.load(path, device="virtual") as opened:
        opened.predict(rows)
        with pytest.warns(scirknn.InputRangeWarning, match="^3 of 44 rows "):
            opened.predict(given)
        counts = opened.input_range_counts
    assert counts is not None
    assert (counts.rows, counts.rows_outside) == (44, 3)
    assert counts.inputs == {"column 0": 1, "column 2": 1, "column 1 == 'c'": 1}


def test_float16_keeps_no_range(toolkit: Toolkit, tmp_path: Path) -> None:
    estimator, path = drawn("one output", "relu"), tmp_path / "model.rknn"
    rows = np.vstack([example()] * 3)
    convert(estimator, path, example_input=rows, toolkit=toolkit, options=ConversionOptions(check="off"))
    assert read_bundle(path).input_range is None
