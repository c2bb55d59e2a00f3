"""Precisions side by side, by real conversions."""

from __future__ import annotations

import json
import pickle
import shlex
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.tree import DecisionTreeClassifier

from scirknn.bundle import read_bundle
from sklearn2rknn import ExampleInputError, OptionError, Toolkit, compare_precisions, convert
from sklearn2rknn.__main__ import main
from tests.converter.fitted import fit


def test_each_precision_has_its_figures_and_the_best_is_what_convert_takes(
    tmp_path: Path, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator, X = fit("softmax")
    X = np.tile(X, (3, 1))
    (tmp_path / "model.pkl").write_bytes(pickle.dumps(estimator))
    np.save(tmp_path / "X.npy", X)
    monkeypatch.setattr("sklearn2rknn.conversion.shared_toolkit", lambda _: toolkit)
    words = [
        "precisions",
        str(tmp_path / "model.pkl"),
        "--rows",
        str(tmp_path / "X.npy"),
        "--batch-size",
        "8",
    ]
    result = CliRunner().invoke(main, [*words, "--json"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    candidates = {each["name"]: each for each in document["candidates"]}
    assert list(candidates) == ["float16", "float16 pairs", "int16", "int8"]
    assert candidates["int8"]["size"] < candidates["float16 pairs"]["size"]
    for each in candidates.values():
        assert each["check"]["held_out"] >= 32
        assert each["estimate"][0] < each["estimate"][1]
    assert candidates[document["best"]]["pareto"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.pkl").rename("my model.pkl")
    words[1] = "my model.pkl"
    printed = CliRunner().invoke(main, words)
    assert printed.exit_code == 0, printed.output
    program, *arguments = shlex.split(printed.stdout.splitlines()[-1].split(". ", 1)[1])
    assert program == "sklearn2rknn"
    assert CliRunner().invoke(main, arguments).exit_code == 0
    bundle = read_bundle(tmp_path / "my model.rknn")
    assert bundle.precision == candidates[document["best"]]["precision"]
    assert [each.samples for each in bundle.variants] == [8]
    report = convert(
        estimator, tmp_path / "best.rknn", precision="best", example_input=X, batch_size=8, toolkit=toolkit
    )
    chosen = candidates[document["best"]]
    assert (report.precision, report.files["best.rknn"]) == (chosen["precision"], chosen["size"])
    assert read_bundle(tmp_path / "best.rknn").precision == chosen["precision"]


def test_a_precision_that_is_not_possible_is_shown_with_its_reason(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator, X = fit("softmax", activation="tanh")
    comparison = compare_precisions(
        estimator, rows=np.tile(X, (3, 1)), target_platform="rv1106", toolkit=toolkit
    )
    refused = {each.name: each.refusal for each in comparison.candidates}
    assert "integers only" in refused["float16"]
    assert not refused["int8"]
    assert comparison.best is not None
    assert comparison.best.precision in ("int8", "int16")
    monkeypatch.setenv("FORCE_COLOR", "1")  # as build machines set it: a text has none
    heading, *lines = str(comparison).splitlines()
    assert heading.split() == ["kB", "labels", "on", "32", "rows", "error", "bound", "ms", "a", "call"]
    assert lines[-1].endswith(f" convert(..., precision='{comparison.best.precision}')")
    assert repr(comparison) == str(comparison)
    assert comparison._repr_html_().startswith("<pre> ")


def test_few_rows_and_a_model_of_the_host_are_refused_before_a_toolkit_starts() -> None:
    estimator, X = fit("softmax")
    with pytest.raises(ExampleInputError, match=r"40 rows leave too few\. Give 64"):
        compare_precisions(estimator, rows=X[:40])
    with pytest.raises(ExampleInputError, match="Give 64 rows"):
        convert(estimator, "best.rknn", precision="best")
    tree = DecisionTreeClassifier().fit(X, np.arange(len(X)) % 2)
    with pytest.raises(OptionError, match="no precision to choose"):
        compare_precisions(tree, rows=X)
