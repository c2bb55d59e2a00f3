"""Rows outside the range that a model of integers was calibrated for."""

from __future__ import annotations

import json
import pickle
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scirknn
from scirknn.bundle import Affine, metadata_path, read_bundle
from scirknn.bundle.columns import Category, Coded, Columns, Lookup, Missing, Number
from scirknn.cli import table_files
from scirknn.cli.commands import main
from scirknn.networks import npu
from tests.device_runtime.bundle.metadata_edits import edit_metadata
from tests.device_runtime.conftest import MakeBundle
from tests.device_runtime.estimators.test_estimator import fitted

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("error::scirknn.InputRangeWarning"),
]

LOW, HIGH = [-1.0, -2.0, 0.0, 10.0, 0.1], [1.0, 2.0, 0.5, 20.0, 0.1]
MIDDLE = [0.0, 0.0, 0.25, 15.0, 0.1]


def with_range(path: Path, precision: str = "int8", **changes: Any) -> Path:
    held = {"low": LOW, "high": HIGH, "rows": 12, "room": 1.0, **changes}
    return edit_metadata(path, precision=precision, input_range=held)


@pytest.fixture
def path(make_bundle: MakeBundle) -> Path:
    # An offset and factors, one of them negative, between X and what the NPU is fed.
    affine = Affine(np.array([0.5, 0.0, 0.1, 15.0, 0.1]), np.array([2.0, 0.3, -8.0, 0.2, 1e3]))
    return with_range(make_bundle(fitted("regressor"), (1, 8), affine))


def rows(count: int, **values: float) -> Any:
    """Return inside rows, the first of which have other values: ``x0=3.0``."""
    X = np.tile(np.array(MIDDLE), (count, 1))
    for i, (name, value) in enumerate(values.items()):
        X[i, int(name[1:])] = value
    return X


def test_rows_at_the_ends_are_inside(path: Path) -> None:
    with scirknn.load(path) as model:
        for dtype in (np.float64, np.float32):
            model.predict(np.array([LOW, HIGH, MIDDLE], dtype))
        model.predict([[0, 1, 0, 12, 0.1]])
        counts = model.input_range_counts
        assert counts == scirknn.InputRangeCounts(7, 0, {})


@pytest.mark.parametrize("column", range(5))
@pytest.mark.parametrize("end", [LOW, HIGH])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_a_number_beyond_an_end_is_outside(path: Path, column: int, end: list[float], dtype: Any) -> None:
    X = rows(3)
    X[1, column] = end[column] + 1e-4 * (-1 if end is LOW else 1)
    with scirknn.load(path) as model:
        with pytest.warns(scirknn.InputRangeWarning, match=rf"^1 of 3 rows .*: column {column} in 1 "):
            model.predict(X.astype(dtype))
        assert model.input_range_counts == scirknn.InputRangeCounts(3, 1, {f"column {column}": 1})


def test_warning_is_given_once_and_counting_goes_on(path: Path) -> None:
    with scirknn.load(path) as model:
        with pytest.warns(scirknn.InputRangeWarning) as caught:
            model.predict(rows(4, x0=3.0, x3=9.0, x4=0.2))
        (warning,) = caught
        assert warning.filename == __file__
        assert str(warning.message) == (
            "3 of 4 rows have inputs outside the range that model.rknn was calibrated for: column 0 in 1 "
            "(-1 to 1; met -1 to 3), column 3 in 1 (10 to 20; met 9 to 20), column 4 in 1 (0.1 to 0.1; met "
            "0.1 to 0.2). int8 cuts off what lies beyond, and predictions go wrong. Convert again with such "
            "rows in example_input, or check the rows."
        )
        model.predict(rows(1, x0=5.0))
        model.predict(rows(10))
        assert model.input_range_counts == scirknn.InputRangeCounts(
            15, 4, {"column 0": 2, "column 3": 1, "column 4": 1}
        )


def test_a_row_with_two_numbers_outside_counts_once(path: Path) -> None:
    X = rows(2)
    X[1, :2] = 9.0
    with scirknn.load(path) as model:
        with pytest.warns(scirknn.InputRangeWarning, match="^1 of 2 rows"):
            model.predict(X)
        assert model.input_range_counts == scirknn.InputRangeCounts(2, 1, {"column 0": 1, "column 1": 1})


def test_int16_says_how_far_it_goes(make_bundle: MakeBundle) -> None:
    with (
        scirknn.load(with_range(make_bundle(fitted("softmax")), "int16", room=3.5)) as model,
        pytest.warns(scirknn.InputRangeWarning, match=r"int16 goes on for 3\.5 times as far, and cuts off"),
    ):
        model.predict(rows(1, x0=3.0))


@pytest.mark.parametrize("core", ["auto", "pool"])
def test_blocks_and_cores_count_each_row_once(path: Path, core: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(npu, "VALUES", 64)
    X = rows(1000)
    X[::3, 1] = -7.0
    with scirknn.load(path, core=core) as model:
        with pytest.warns(scirknn.InputRangeWarning, match="^334 of 1000 rows"):
            model.predict(X)
        assert model.input_range_counts == scirknn.InputRangeCounts(1000, 334, {"column 1": 334})


def test_threads_count_each_row_once(path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", scirknn.InputRangeWarning)
        with scirknn.load(path) as model:
            threads = [
                threading.Thread(target=lambda: [model.predict(rows(3, x0=3.0)) for _ in range(50)])
                for _ in range(8)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert model.input_range_counts == scirknn.InputRangeCounts(1200, 400, {"column 0": 400})


def test_a_warning_made_an_error_is_raised_by_every_call_with_such_rows(path: Path) -> None:
    with scirknn.load(path) as model:
        for _ in range(2):
            with pytest.raises(scirknn.InputRangeWarning):
                model.predict(rows(1, x0=3.0))
            model.predict(rows(1))


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_features_are_named(make_bundle: MakeBundle) -> None:
    names = ("length", "width", "depth", "height", "mass")
    path = with_range(make_bundle(fitted("binary"), column_names=names))
    with scirknn.load(path) as model:
        with pytest.warns(scirknn.InputRangeWarning, match="'depth' in 1 "):
            model.predict(rows(2, x2=4.0))


def test_inputs_of_steps_are_named_after_their_features(make_bundle: MakeBundle) -> None:
    colour = Lookup(2, ("red", "blue"), (0, 1), None, 2, "ignore", 0)
    size = Lookup(3, ("S", "M", "L"), (0, 1, 2), None, 3, "error", 1)
    codes = (0.0, 1.0, 2.0, 9.0)
    columns = Columns(
        4,
        (Number(0, np.nan, 5.0), Missing(1, np.nan), Category(0, 0), Category(0, 1), Coded(1, codes)),
        (colour, size),
    )
    names = ("age", "weight", "colour", "size")
    path = make_bundle(fitted("binary"), columns=columns, column_names=names)
    path = with_range(path, low=[0.0] * 5, high=[10.0, 0.0, 0.0, 1.0, 1.0])
    X = np.array(
        [[11.0, 1.0, "blue", "S"], [np.nan, np.nan, "green", "M"], [3.0, 1.0, "red", "L"]], dtype=object
    )
    with warnings.catch_warnings(), scirknn.load(path) as model:
        warnings.simplefilter("ignore")
        model.predict(X)
        counts = model.input_range_counts
        assert counts is not None
        assert counts.inputs == {
            "'age'": 1,
            "'weight' is missing": 1,
            "'colour' == 'red'": 1,
            "'size' encoded": 1,
        }
        assert (counts.rows, counts.rows_outside) == (3, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300])
def test_what_is_refused_is_not_counted(path: Path, value: float) -> None:
    with scirknn.load(path) as model:
        with pytest.raises(scirknn.InputError, match="Input X contains"):
            model.predict(rows(2, x0=value))
        assert model.input_range_counts == scirknn.InputRangeCounts(0, 0, {})


def test_a_bundle_without_a_range_counts_nothing(make_bundle: MakeBundle) -> None:
    with scirknn.load(make_bundle(fitted("regressor"))) as model:
        model.predict(rows(3, x0=1e6))
        assert model.input_range_counts is None


def test_range_survives_writing_and_pickling(path: Path) -> None:
    bundle = read_bundle(path)
    assert bundle.input_range is not None
    assert bundle.input_range.low.tolist() == LOW
    assert (bundle.input_range.rows, bundle.input_range.room) == (12, 1.0)
    assert json.loads(metadata_path(path).read_text())["format"] == 1
    with scirknn.load(path) as model, pytest.warns(scirknn.InputRangeWarning):
        model.predict(rows(1, x0=3.0))
    with pickle.loads(pickle.dumps(model)) as again:
        assert again.input_range_counts == scirknn.InputRangeCounts(0, 0, {})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"low": [0.0] * 4}, "needs 5 finite numbers from low to high"),
        ({"low": 3}, "needs 5 finite numbers from low to high"),
        ({"low": ["a"] * 5}, "needs 5 finite numbers from low to high"),
        ({"low": [True] * 5}, "needs 5 finite numbers from low to high"),
        ({"low": [[0.0]] * 5}, "needs 5 finite numbers from low to high"),
        ({"high": [float("nan")] * 5}, "needs 5 finite numbers from low to high"),
        ({"high": [float("inf")] * 5}, "needs 5 finite numbers from low to high"),
        ({"high": [10**400] * 5}, "needs 5 finite numbers from low to high"),
        ({"low": [2.0, 0, 0, 10, 0]}, "needs 5 finite numbers from low to high"),
        ({"rows": 0}, "has 0 rows"),
        ({"rows": True}, "has True rows"),
        ({"rows": "many"}, "has 'many' rows"),
        ({"room": 0.5}, "has 0.5 as room"),
        ({"room": float("nan")}, "has nan as room"),
        ({"room": "8"}, "has '8' as room"),
    ],
)
def test_a_malformed_range_is_refused(path: Path, changes: dict[str, Any], why: str) -> None:
    with pytest.raises(scirknn.BundleFormatError, match=f"'input_range' {why}"):
        read_bundle(with_range(path, **changes))


@pytest.mark.parametrize("value", [None, [], "none", {"low": LOW, "high": HIGH}])
def test_a_range_of_another_form_is_refused(path: Path, value: Any) -> None:
    edit_metadata(path, input_range=value)
    with pytest.raises(scirknn.BundleError, match="'input_range' has no low, high, rows and room"):
        read_bundle(path)


@pytest.fixture
def two_rows_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults: Any = table_files.read_blocks.__kwdefaults__
    monkeypatch.setitem(defaults, "block", 2)


def csv_file(folder: Path, X: Any) -> str:
    file = folder / "in.csv"
    file.write_text("\n".join(",".join(map(repr, row)) for row in X.tolist()) + "\n")
    return str(file)


def test_info_shows_the_input_range(path: Path, capsys: Any) -> None:
    assert main(["info", str(path), "--verbose"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "input range column 0 -1 to 1, column 1 -2 to 2, column 2 0 to 0.5, column 3 10 to 20" in said


@pytest.mark.parametrize("to_file", [True, False])
@pytest.mark.usefixtures("two_rows_a_block")
def test_command_line_predicts_and_says_it_once(
    path: Path, tmp_path: Path, to_file: bool, capsys: Any
) -> None:
    X, output = rows(9, x0=3.0, x3=9.0, x1=-5.0), tmp_path / "out.csv"
    given = csv_file(tmp_path, X)
    assert main(["predict", str(path), given, *([str(output)] if to_file else [])]) == 0
    said = capsys.readouterr()
    assert said.err.count("scirknn: warning: 3 of 9 rows have inputs outside the range") == 1
    assert len((output.read_text() if to_file else said.out).splitlines()) == 10


@pytest.mark.parametrize("to_file", [True, False])
@pytest.mark.usefixtures("two_rows_a_block")
def test_strict_writes_nothing(path: Path, tmp_path: Path, to_file: bool, capsys: Any) -> None:
    X, output = rows(9), tmp_path / "out.csv"
    X[7, 0] = 3.0  # in the fourth block, whose rows are the first eight
    arguments = ["predict", str(path), csv_file(tmp_path, X), *([str(output)] if to_file else []), "--strict"]
    assert main(arguments) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert "scirknn: 1 of 8 rows have inputs outside the range" in said.err
    assert "Or predict without --strict. Nothing was written." in said.err
    assert {file.name for file in tmp_path.iterdir()} == {
        "in.csv", "model.rknn", "model.n8.rknn", "model.rknn.json"
    }  # fmt: skip


@pytest.mark.parametrize("to_file", [True, False])
def test_strict_writes_rows_inside(path: Path, tmp_path: Path, to_file: bool, capsys: Any) -> None:
    output = tmp_path / "out.csv"
    given = csv_file(tmp_path, rows(9))
    assert main(["predict", str(path), given, *([str(output)] if to_file else []), "--strict"]) == 0
    said = capsys.readouterr()
    assert len((output.read_text() if to_file else said.out).splitlines()) == 10
    assert "warning" not in said.err
