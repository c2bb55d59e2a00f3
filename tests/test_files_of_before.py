"""Files that earlier versions wrote are read: a bundle, a run's folder, boards.toml.

The files are of version 0.2.0, of the day before its modules moved. They are never written again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.cluster import KMeans
from sklearn.datasets import load_wine
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.naive_bayes import MultinomialNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.svm import SVC, LinearSVC

from rknn_harness.boards.boards_file import read_boards
from rknn_harness.commands.cli import main
from rknn_harness.records.outcomes import Outcome
from rknn_harness.records.run_folder import read_run
from scirknn.bundle import Bundle, Variant, read_bundle
from scirknn.bundle.contents import HOST_PRECISION
from scirknn.bundle.host_parts import are_needed
from sklearn2rknn import network_from_estimator
from sklearn2rknn.network.bundle_fields import bundle_fields

BEFORE = Path(__file__).with_name("files_of_before")

READ_BEFORE = (LogisticRegression(max_iter=300), Ridge(), MultinomialNB(), MLPClassifier((8,), max_iter=30))
REFUSED_BEFORE = (
    LinearSVC(), LinearDiscriminantAnalysis(), PoissonRegressor(), SVC(), KMeans(3, n_init=1), PCA(3),
    KNeighborsClassifier(), RandomForestClassifier(3),
)  # fmt: skip
"""Models of which 0.2.0 was given bundles [measured, November 2026]: those of formats 1 and 2 it read, and
predicted as scikit-learn; of the others it said "has format 4; this scirknn reads formats up to 3", of the
forest that there is no model file."""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return Path(shutil.copytree(BEFORE / "run", tmp_path / "run"))


def test_a_bundle_of_before_is_read(tmp_path: Path) -> None:
    metadata = json.loads((BEFORE / "bundle.json").read_text())
    for variant in metadata["variants"]:  # what the toolkit made is not in the repository
        content = variant["file"].encode()
        (tmp_path / variant["file"]).write_bytes(content)
        variant["sha256"] = hashlib.sha256(content).hexdigest()
    (tmp_path / "iris.rknn.json").write_text(json.dumps(metadata))
    bundle = read_bundle(tmp_path / "iris.rknn")
    assert bundle.classes is not None
    assert bundle.classes.tolist() == ["setosa", "versicolor", "virginica"]
    assert bundle.n_features_in == 4
    assert [variant.file for variant in bundle.variants] == ["iris.rknn", "iris.n64.rknn"]
    assert bundle.input is not None
    assert np.allclose(bundle.input.scale, [1.2347124, 2.2540212, 0.5690997, 1.3216184])


@pytest.mark.parametrize("model", [*READ_BEFORE, *REFUSED_BEFORE], ids=lambda model: type(model).__name__)
def test_a_model_has_the_format_that_0_2_0_read_or_refused(model: Any, tmp_path: Path) -> None:
    X, y = load_wine(return_X_y=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = network_from_estimator(model.fit(X, y))
    variants = (Variant("m.rknn", 1, "0" * 64),) if network.layers else ()
    precision = "float16" if network.layers else HOST_PRECISION
    fields = bundle_fields(network)
    bundle = Bundle(
        tmp_path / "m.rknn", **fields, channels=16, precision=precision, variants=variants, details={}
    )
    assert are_needed(bundle) == (model in REFUSED_BEFORE)


def test_a_run_of_before_is_read(run: Path) -> None:
    results = read_run(run).results
    assert len(results) == 7
    assert {result.outcome for result in results} == {Outcome.PASS, Outcome.UNSUPPORTED}


@pytest.mark.parametrize(
    "command",
    [["report", "{run}"], ["compare", "{run}", "{run}"], ["trend", "{run}"]],
    ids=lambda words: words[0],
)
def test_commands_take_a_run_of_before(command: list[str], run: Path) -> None:
    answer = CliRunner().invoke(main, [word.format(run=run) for word in command])
    assert answer.exit_code == 0, answer.output


def test_boards_of_before_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    shutil.copy(BEFORE / "boards.toml", tmp_path)
    boards = read_boards(tmp_path / "boards.toml")
    assert list(boards) == ["virtual", "desk", "second"]
    desk = boards["desk"]
    assert (desk.host, desk.user, desk.port, desk.python) == (
        "board.example",
        "rock",
        2222,
        "npu/bin/python3",
    )
    assert PurePosixPath(desk.work_folder) == PurePosixPath("rknn")
    assert desk.power_command == ("pdu", "cycle", "desk")
    assert (desk.clocks, desk.tags, desk.boot_seconds) == ("record", ("rk3588",), 60.0)
    assert (boards["second"].port, boards["second"].clocks) == (22, "pin")
