"""What is counted as right is counted on rows that a file was not built from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from scirknn.bundle import read_bundle
from sklearn2rknn import ConversionOptions, ExampleInputWarning, Toolkit, convert
from sklearn2rknn.rows.held_out import hold_out
from tests.converter.fitted import fit

ACCURACY = re.compile(r"\d of \d|R2|%|±")


@pytest.mark.parametrize(
    ("given", "held"), [(1, 0), (63, 0), (64, 32), (128, 32), (200, 50), (2048, 512), (5000, 512)]
)
def test_a_quarter_is_held_out_between_32_and_512_rows(given: int, held: int) -> None:
    rows = np.arange(given, dtype=float)[:, None]
    building, own = hold_out(rows)
    assert (0 if own is None else len(own)) == held
    together = building if own is None else np.vstack([building, own])
    assert sorted(together[:, 0]) == list(range(given))


@pytest.mark.parametrize("period", [2, 4, 8])
def test_labels_that_alternate_are_held_out_alike(period: int) -> None:
    rows = (np.arange(400) % period).astype(float)[:, None]
    building, own = hold_out(rows)
    assert own is not None
    assert set(building[:, 0]) == set(own[:, 0]) == set(range(period))


@pytest.mark.parametrize("given", [64, 129, 400, 5000])
def test_one_row_of_each_stretch_is_held_out(given: int) -> None:
    _, own = hold_out(np.arange(given, dtype=float)[:, None])
    assert own is not None
    stretches = (
        own[:, 0] * len(own) + len(own) - 1
    ) // given  # row r is of stretch ceil((r + 1) n / given) - 1
    np.testing.assert_array_equal(stretches, np.arange(len(own)))


class Recorder(Toolkit):
    """A toolkit that keeps what it was calibrated and simulated with."""

    def __init__(self, toolkit: Toolkit) -> None:
        super().__init__(toolkit.environment)
        self._toolkit = toolkit
        self.calibrated: list[Any] = []

    def start(self, model: bytes, **arguments: Any) -> Any:
        self.calibrated.append((arguments["calibration"], arguments["simulate"]))
        return self._toolkit.start(model, **arguments)


def test_a_conversion_does_not_see_the_rows_held_out(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, X = fit("softmax")
    X = np.random.default_rng(0).normal(size=(100, X.shape[1]))
    recorder = Recorder(toolkit)
    convert(estimator, tmp_path / "m.rknn", precision="int8", example_input=X, toolkit=recorder)
    ((calibrated, simulated),) = recorder.calibrated
    _, held = hold_out(X)
    assert held is not None
    assert len(held) == 32

    def rows_of(runs: Any) -> set[bytes]:
        table = np.moveaxis(np.asarray(runs, np.float32)[:, 0, :, :, 0], 1, 2).reshape(-1, runs.shape[2])
        return {row.tobytes() for row in np.ascontiguousarray(table)}

    assert len(rows_of(simulated)) == 32
    assert not rows_of(calibrated) & rows_of(simulated)


def test_the_bundle_records_how_many_rows_were_its_own(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, X = fit("softmax")
    more = np.random.default_rng(0).normal(size=(200, X.shape[1]))
    path = tmp_path / "m.rknn"
    report = convert(estimator, path, example_input=more, toolkit=toolkit)
    check = read_bundle(path).details["check"]
    assert check["held_out"] == check["rows"] == 50
    assert check["input"] == "held_out"
    shown = " ".join(str(report).split())
    assert "50 of 50 held-out rows have scikit-learn's label (probabilities ±" in shown


def test_rows_of_ones_own_are_checked(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, X = fit("softmax")
    own = np.random.default_rng(0).normal(size=(40, X.shape[1]))
    report = convert(
        estimator,
        tmp_path / "m.rknn",
        example_input=own + 1,
        toolkit=toolkit,
        options=ConversionOptions(check_input=own),
    )
    assert (report.check.to_json()["input"], report.check.to_json()["held_out"]) == ("check_input", 40)
    assert "40 of 40 rows of --check-input have" in str(report)


def test_too_few_rows_of_ones_own_are_named(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, X = fit("softmax")
    rows = np.random.default_rng(0).normal(size=(100, X.shape[1]))
    with pytest.warns(ExampleInputWarning, match="check_input has 5 rows, too few to count a share of"):
        report = convert(
            estimator,
            tmp_path / "m.rknn",
            example_input=rows,
            toolkit=toolkit,
            options=ConversionOptions(check_input=rows[:5]),
        )
    assert report.check.to_json()["input"] == "held_out"


@pytest.mark.parametrize("kind", ["softmax", "several outputs"])
def test_below_32_rows_of_its_own_no_accuracy_is_stated(tmp_path: Path, toolkit: Toolkit, kind: Any) -> None:
    estimator, X = fit(kind)
    rows = np.random.default_rng(0).normal(size=(63, X.shape[1]))
    report = convert(estimator, tmp_path / "m.rknn", example_input=rows, toolkit=toolkit)
    (line,) = [line for line in str(report).splitlines() if line.startswith("  right")]
    assert "not checked on held-out rows" in line
    assert not ACCURACY.search(line)
    check = [line for line in report.details().splitlines() if "NPU  " in line]
    assert not any(re.search(r"labels|R2", line) for line in check)


def test_without_rows_no_accuracy_is_stated(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, _ = fit("softmax")
    report = convert(estimator, tmp_path / "m.rknn", toolkit=toolkit)
    assert "  right     unknown: give rows (--example-input)" in str(report).splitlines()
    assert not re.search(r"labels equal|R2 ", report.details())
    assert "promise" not in read_bundle(tmp_path / "m.rknn").details


def test_the_report_is_its_repr_in_80_columns(tmp_path: Path, toolkit: Toolkit, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    X = np.random.default_rng(0).normal(size=(300, 8))
    estimator = MLPClassifier((16,), max_iter=5, random_state=0).fit(X, X[:, 0] > 0)
    report = convert(estimator, "digits.rknn", example_input=X, toolkit=toolkit)
    assert repr(report) == str(report)
    lines = str(report).splitlines()
    assert max(map(len, lines)) <= 80
    assert [line[:12].strip() for line in lines if line[2] != " "][-3:] == ["right", "speed", "next"]
    assert "(estimate)" in str(report)
    assert "<pre>" in report._repr_html_()
