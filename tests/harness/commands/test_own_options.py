"""What is wrong with --model and its companions is said before any work, with the value and the cure."""

from __future__ import annotations

import json
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from sklearn.ensemble import RandomForestClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor

from rknn_harness.commands.cli import main
from rknn_harness.errors import OwnModelError
from rknn_harness.models.own_model import OwnFiles, keep_files, kept_model, own_cases, read_files
from rknn_harness.plan.drawing import Draw
from rknn_harness.plan.plan import make_plan

X = np.random.default_rng(0).normal(size=(60, 3))
LABELS = np.array(["ash", "elm", "oak"])[np.arange(60) % 3]


class Turned(MLPClassifier):  # type: ignore[misc]  # scikit-learn is untyped
    def predict_proba(self, X: Any) -> Any:
        return super().predict_proba(X)[:, ::-1]


class Hostile:
    def __reduce__(self) -> Any:
        return os.system, ("touch trace",)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with files that are good and files that are not."""
    monkeypatch.chdir(tmp_path)
    options: dict[str, Any] = {"hidden_layer_sizes": (4,), "max_iter": 5, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        models = {
            "mine.pkl": MLPClassifier(**options).fit(X, LABELS),
            "values.pkl": MLPRegressor(**options).fit(X, X[:, 0]),
            "forest.pkl": RandomForestClassifier(2).fit(X, LABELS),
            "unfitted.pkl": MLPClassifier(),
            "hostile.pkl": Hostile(),
            "iris.pkl": MLPClassifier(**options).fit(X, LABELS),
        }
        turned = Turned(**options).fit(X, LABELS)
    for name, model in models.items():
        Path(name).write_bytes(pickle.dumps(model))
    monkeypatch.setattr("rknn_harness.models.own_model.load_model", _with_turned(turned))
    np.save("rows.npy", X)
    np.save("y.npy", LABELS)
    np.save("short.npy", LABELS[:59])
    np.save("other.npy", np.full(60, "fir"))
    np.save("narrow.npy", X[:, :2])
    np.save("one.npy", X[:1])
    np.save("objects.npy", np.array([1, "a"], dtype=object), allow_pickle=True)
    holes = X.copy()
    holes[7, 1] = np.nan
    np.save("holes.npy", holes)
    np.save("bad_values.npy", holes[:, 1])
    Path("counted.csv").write_text("0,1,2\n" + "1,2,3\n" * 60)
    Path("text.csv").write_text("a,b,c\n" + "1,2,tall\n" * 60)
    Path("empty.csv").write_text("")
    Path("broken.rknn").write_bytes(b"no model")
    return tmp_path


def _with_turned(turned: Any) -> Any:
    from sklearn2rknn.estimators.model_file import load_model

    return lambda path, **options: turned if path.name == "turned.pkl" else load_model(path, **options)


GOOD = ["--model", "mine.pkl", "--rows", "rows.npy"]

MISTAKES = {
    "no rows": (["--model", "mine.pkl"], "mine.pkl needs rows to be judged on. Give rows of X: --rows"),
    "no model": (["--rows", "rows.npy"], "--rows rows.npy is about a model of yours. Name it: --model"),
    "no model for y": (["--y", "y.npy"], "--y y.npy is about a model of yours"),
    "missing model": (["--model", "none.pkl", "--rows", "rows.npy"], "There is no file none.pkl. Give"),
    "missing rows": (
        ["--model", "mine.pkl", "--rows", "none.npy"],
        "There is no file none.npy. Give a .npy or CSV",
    ),
    "missing y": ([*GOOD, "--y", "none.npy"], "--y none.npy: there is no such file. Give a .npy or CSV"),
    "no model file": (["--model", "rows.npy", "--rows", "rows.npy"], "rows.npy ends in .npy; a model's file"),
    "another family": (
        ["--model", "forest.pkl", "--rows", "rows.npy", "--trust-pickle"],
        "RandomForestClassifier is computed by the board's CPU, in numpy; nothing of it runs on an NPU",
    ),
    "unfitted": (
        ["--model", "unfitted.pkl", "--rows", "rows.npy"],
        "is not fitted: it has no weights. Call fit",
    ),
    "hostile": (["--model", "hostile.pkl", "--rows", "rows.npy"], "loading it could run any code"),
    "another predict": (
        ["--model", "turned.pkl", "--rows", "rows.npy"],
        "Turned has its own predict_proba",
    ),
    "columns": (
        ["--model", "mine.pkl", "--rows", "narrow.npy"],
        "narrow.npy: X has 2 features, but MLPClassifier is",
    ),
    "NaN": (["--model", "mine.pkl", "--rows", "holes.npy"], "--rows holes.npy: Input X contains NaN"),
    "one row": (["--model", "mine.pkl", "--rows", "one.npy"], "one.npy has 1 row. Give some hundred"),
    "objects": (["--model", "mine.pkl", "--rows", "objects.npy"], "objects.npy is no .npy file of numbers"),
    "text": (["--model", "mine.pkl", "--rows", "text.csv"], "column 3: 'tall' is no number"),
    "no line": (["--model", "mine.pkl", "--rows", "empty.csv"], "empty.csv is empty"),
    "counted": (["--model", "mine.pkl", "--rows", "counted.csv"], "Pass --header yes if they are names"),
    "short y": ([*GOOD, "--y", "short.npy"], "--y short.npy has 59 rows; --rows has 60"),
    "other labels": ([*GOOD, "--y", "other.npy"], "holds 'fir'; the model's classes are 'ash', 'elm', 'oak'"),
    "values with NaN": (
        ["--model", "values.pkl", "--rows", "rows.npy", "--y", "bad_values.npy"],
        "--y bad_values.npy holds NaN or infinite values, or texts. Give numbers",
    ),
    "labels for values": (
        ["--model", "values.pkl", "--rows", "rows.npy", "--y", "y.npy"],
        "--y y.npy holds NaN or infinite values, or texts. Give numbers",
    ),
    "expect": ([*GOOD, "--expect", "y.npy"], "--expect y.npy is for a bundle (.rknn). mine.pkl is compared"),
    "reference": ([*GOOD, "--reference", "mine.pkl"], "leave --reference out"),
    "bundle alone": (
        ["--model", "broken.rknn", "--rows", "rows.npy"],
        "as --reference, or predictions as --expect",
    ),
    "bundle": (["--model", "broken.rknn", "--rows", "rows.npy", "--y", "y.npy"], "--model broken.rknn: "),
    "bundle with toolkit": (
        ["--model", "broken.rknn", "--rows", "rows.npy", "--y", "y.npy", "--toolkit", "2.3.2"],
        "broken.rknn is converted already. Leave --toolkit out",
    ),
    "bundle with precision": (
        ["--model", "broken.rknn", "--rows", "rows.npy", "--y", "y.npy", "--precision", "int8"],
        "Leave --precision out",
    ),
    "bundle and another": (
        [*GOOD, "--model", "broken.rknn", "--y", "y.npy"],
        "broken.rknn is a bundle. Give it alone",
    ),
    "reference and expect": (
        ["--model", "broken.rknn", "--rows", "rows.npy", "--reference", "mine.pkl", "--expect", "y.npy"],
        "Leave --expect out, or --reference",
    ),
    "twice": ([*GOOD, "--model", "mine.pkl"], "Two models are named mine. Rename one file"),
    "name of a fixed one": (
        ["--model", "iris.pkl", "--rows", "rows.npy", "--max-cases", "0"],
        "iris is also a fixed model of the suite. Rename your file",
    ),
    "resume": ([*GOOD, "--resume", "."], "Leave --resume out, or --model"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_wrong_usage(folder: Path, mistake: str) -> None:
    arguments, says = MISTAKES[mistake]
    done = CliRunner().invoke(main, ["run", *arguments, "--run-dir", "run"])
    assert done.exit_code == 2, done.output
    assert says in " ".join(done.output.split())
    assert not (folder / "run").exists()
    assert not (folder / "trace").exists()


def test_y_of_every_form_is_the_same(folder: Path) -> None:
    forms = {
        "y.npy": "npy",
        "plain.csv": "\n".join(LABELS),
        "named.csv": "tree\n" + "\n".join(LABELS),
    }
    np.save("column.npy", LABELS[:, None])
    for name, text in forms.items():
        if text != "npy":
            Path(name).write_text(text + "\n")
    for name in (*forms, "column.npy"):
        found = read_files(OwnFiles(Path("mine.pkl"), Path("rows.npy"), Path(name)))
        assert found.y is not None
        assert found.y.tolist() == LABELS.tolist()


def test_a_name_is_fit_for_a_case(folder: Path) -> None:
    assert OwnFiles(Path("my model [2] é.pkl"), Path("rows.npy")).name == "my_model_2_"


def test_only_ones_own_model_is_tried_unless_the_others_are_asked_for(folder: Path) -> None:
    keep_files(OwnFiles(Path("mine.pkl"), Path("rows.npy")), folder / "own")
    own = own_cases(folder / "own", ["float16", "int16"])
    draw = Draw(("float16", "int16"), 0, 0)
    options: dict[str, Any] = {
        "toolkits": ["1.6.0", "2.3.2"],
        "boards": ["virtual"],
        "draw": draw,
        "own": own,
    }
    alone = make_plan(**{**options, "draw": None})
    # 1.6.0 has no int16.
    assert ["-".join(entry.key) for entry in alone] == [
        "mine-float16-n64-1.6.0-virtual",
        "mine-float16-n64-2.3.2-virtual",
        "mine-int16-n64-2.3.2-virtual",
    ]
    beside = make_plan(**options)
    assert {entry.case.kind for entry in beside} == {"own", "dataset"}


def test_a_runs_folder_cannot_have_a_pickle_trusted(folder: Path) -> None:
    """Whoever made the folder does not say what is trusted: the one who tries it again does."""
    keep_files(OwnFiles(Path("hostile.pkl"), Path("rows.npy")), folder / "own")
    document = json.loads((folder / "own" / "hostile" / "own.json").read_text())
    assert "trust" not in json.dumps(document)
    with pytest.raises(OwnModelError, match="--trust-pickle"):
        kept_model(folder / "own" / "hostile")
    assert not (folder / "trace").exists()
