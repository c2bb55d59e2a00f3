"""Trees: their sums are scikit-learn's to the bit, and no file for an NPU is written."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.ensemble import (
    AdaBoostClassifier,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import Ridge
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import (
    DecisionTreeClassifier,
    DecisionTreeRegressor,
    ExtraTreeClassifier,
    ExtraTreeRegressor,
)

import scirknn
from scirknn.answers import answer, final_values, responses_of
from scirknn.steps.trees import TreeSum
from sklearn2rknn import (
    ExampleInputError,
    NotFittedError,
    OptionError,
    UnsupportedModelError,
    convert,
    network_from_estimator,
)

CLASSIFIERS = {
    "tree": DecisionTreeClassifier(random_state=0),
    "extra tree": ExtraTreeClassifier(random_state=0),
    "forest": RandomForestClassifier(20, random_state=0),
    "weighted forest": RandomForestClassifier(9, class_weight="balanced_subsample", random_state=0),
    "extra trees": ExtraTreesClassifier(15, max_leaf_nodes=20, random_state=0),
    "boosting": GradientBoostingClassifier(n_estimators=6, random_state=0),
    "boosting from zero": GradientBoostingClassifier(n_estimators=6, init="zero", random_state=0),
    "histograms": HistGradientBoostingClassifier(max_iter=8, random_state=0),
    "adaboost": AdaBoostClassifier(DecisionTreeClassifier(max_depth=2), n_estimators=8, random_state=0),
    "behind a scaler": make_pipeline(StandardScaler(), RandomForestClassifier(7, random_state=0)),
}
REGRESSORS = {
    "tree": DecisionTreeRegressor(random_state=0),
    "extra tree": ExtraTreeRegressor(random_state=0),
    "forest": RandomForestRegressor(20, random_state=0),
    "extra trees": ExtraTreesRegressor(15, criterion="absolute_error", max_depth=5, random_state=0),
    "boosting": GradientBoostingRegressor(n_estimators=20, loss="huber", random_state=0),
    "histograms": HistGradientBoostingRegressor(max_iter=20, random_state=0),
    "counts": HistGradientBoostingRegressor(max_iter=20, loss="poisson", random_state=0),
}
EXACT = ("tree", "extra tree", "forest", "weighted forest", "extra trees")
LAST_BITS = 1e-12
"""Exponentials, logarithms and a scaler's product differ in the last bits from library to library."""


def digits() -> tuple[Any, Any]:
    X, y = load_digits(return_X_y=True)
    return X[:700], y[:700]


def cancer() -> tuple[Any, Any]:
    X, y = load_breast_cancer(return_X_y=True)
    return X * np.logspace(0, 5, 30), np.array(["benign", "malignant"])[y]


def assert_same_methods(model: Any, X: Any, *, exact: bool) -> None:
    network = network_from_estimator(model)
    for rows in (X, X[:1]):
        values = final_values(network, network.forward(rows), None)
        for method in responses_of(network):
            ours, theirs = answer(network, method, values), getattr(model, method)(rows)
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), method
            if exact or ours.dtype.kind not in "f" or method in ("decision_function", "score_samples"):
                np.testing.assert_array_equal(ours, theirs)
            else:
                np.testing.assert_allclose(ours, theirs, rtol=LAST_BITS, atol=LAST_BITS)


@pytest.mark.parametrize("data", [digits, cancer])
@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_a_classifiers_methods_are_scikit_learns(name: str, data: Any) -> None:
    X, y = data()
    assert_same_methods(clone(CLASSIFIERS[name]).fit(X, y), X, exact=name in EXACT)


@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressors_predictions_are_scikit_learns(name: str) -> None:
    X, y = load_diabetes(return_X_y=True)
    assert_same_methods(clone(REGRESSORS[name]).fit(X, y), X, exact=name not in ("histograms", "counts"))


def test_several_targets_are_scikit_learns() -> None:
    X, y = load_diabetes(return_X_y=True)
    model = RandomForestRegressor(5, random_state=0).fit(X, np.column_stack([y, -y, X[:, 2]]))
    assert_same_methods(model, X, exact=True)


@pytest.mark.parametrize(
    ("model", "targets"),
    [(DecisionTreeRegressor(), 3), (RandomForestRegressor(2), 1), (CLASSIFIERS["tree"], 1)],
)
def test_a_loaded_models_outputs_are_its_targets(model: Any, targets: int, tmp_path: Path) -> None:
    X, _ = digits()
    fitted = clone(model).fit(X, X[:, 2:5] if targets > 1 else X[:, 2])
    convert(fitted, tmp_path / "model.rknn")
    assert scirknn.load(tmp_path / "model.rknn").n_outputs_ == fitted.n_outputs_ == targets


@pytest.mark.parametrize("parameters", [{}, {"max_features": 0.4, "contamination": 0.1}, {"max_samples": 1}])
def test_an_isolation_forests_scores_are_scikit_learns(parameters: dict[str, Any]) -> None:
    X, _ = cancer()
    model = IsolationForest(n_estimators=30, random_state=0, **parameters).fit(X)
    assert_same_methods(model, X, exact=True)


def test_exponential_loss_and_a_decision_at_zero_are_scikit_learns() -> None:
    X, y = cancer()
    model = GradientBoostingClassifier(n_estimators=5, loss="exponential", random_state=0).fit(X, y)
    assert_same_methods(model, X, exact=False)
    even = GradientBoostingClassifier(n_estimators=1).fit(np.zeros((4, 1)), [0, 1, 0, 1])
    assert even.decision_function(np.zeros((1, 1))) == 0
    assert_same_methods(even, np.zeros((2, 1)), exact=True)


@pytest.mark.parametrize("name", ["tree", "forest", "histograms"])
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_missing_values_go_where_scikit_learn_sends_them(name: str) -> None:
    X, y = digits()
    X = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)
    assert_same_methods(clone(CLASSIFIERS[name]).fit(X, y), X, exact=name != "histograms")


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**16),
    rows=st.integers(2, 40),
    columns=st.integers(1, 6),
    scale=st.sampled_from([1e-30, 1.0, 3e30]),
    depth=st.integers(1, 6),
    classes=st.integers(2, 4),
)
def test_drawn_forests_predict_rows_on_their_thresholds_as_scikit_learn(
    seed: int, rows: int, columns: int, scale: float, depth: int, classes: int
) -> None:
    random = np.random.default_rng(seed)
    X = random.integers(-3, 4, size=(rows, columns)) * scale
    y = np.arange(rows) % classes
    model = RandomForestClassifier(5, max_depth=depth, random_state=seed).fit(X, y)
    thresholds = np.concatenate([each.tree_.threshold for each in model.estimators_])
    near = np.nextafter(thresholds[:, None] * np.ones(columns), random.choice([-np.inf, np.inf]))
    for test in (X, thresholds[:, None] * np.ones(columns), near):
        network = network_from_estimator(model)
        values = final_values(network, network.forward(test), None)
        np.testing.assert_array_equal(answer(network, "predict_proba", values), model.predict_proba(test))


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (
            RandomForestClassifier(2).fit(np.eye(4), np.eye(4, 2, dtype=int)),
            "RandomForestClassifier with 2 outputs cannot be converted; fit one for each output.",
        ),
        (
            GradientBoostingRegressor(init=Ridge(), n_estimators=2).fit(np.eye(4), [0, 1, 0, 1]),
            "GradientBoostingRegressor with init=Ridge cannot be converted.",
        ),
        (
            HistGradientBoostingRegressor(categorical_features=[0], max_iter=1).fit(
                np.eye(40)[:, :2], np.arange(40)
            ),
            "HistGradientBoostingRegressor with categorical_features cannot be converted.",
        ),
    ],
)
def test_what_is_refused_is_named_with_what_to_do(model: Any, text: str) -> None:
    with pytest.raises(UnsupportedModelError, match=re.escape(text)):
        network_from_estimator(model)


def test_boosting_by_chances_of_scikit_learn_1_5_is_refused() -> None:
    model = AdaBoostClassifier(n_estimators=2).fit(np.eye(4), [0, 1, 0, 1])
    model.algorithm = "SAMME.R"
    with pytest.raises(UnsupportedModelError, match=r"algorithm='SAMME.R', by which scikit-learn "):
        network_from_estimator(model)


def test_an_unfitted_forest_is_refused() -> None:
    with pytest.raises(NotFittedError, match="RandomForestClassifier is not fitted"):
        network_from_estimator(RandomForestClassifier())


@pytest.mark.parametrize("name", ["tree", "forest", "boosting", "histograms", "adaboost", "behind a scaler"])
def test_a_bundle_without_a_model_file_answers_as_scikit_learn(name: str, tmp_path: Path) -> None:
    X, y = digits()
    model = clone(CLASSIFIERS[name]).fit(X[:500], y[:500])
    report = convert(model, tmp_path / "digits.rknn", example_input=X[500:])
    assert sorted(report.files) == ["digits.npz", "digits.rknn.json"]
    assert "200 of 200 rows have scikit-learn's label" in str(report)
    assert "no NPU: the board's CPU computes it" in " ".join(str(report).split())
    assert sorted(each.name for each in tmp_path.iterdir()) == ["digits.npz", "digits.rknn.json"]
    with scirknn.load(tmp_path / "digits.rknn") as loaded:
        assert loaded.device == "cpu"
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
        np.testing.assert_allclose(loaded.predict_proba(X), model.predict_proba(X), rtol=0, atol=LAST_BITS)
        assert loaded.score(X, y) == model.score(X, y)
        assert hasattr(loaded, "decision_function") == hasattr(model, "decision_function")


def test_the_model_file_of_the_bundle_before_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "m.rknn"
    path.write_bytes(b"the file of another conversion")
    X, y = digits()
    convert(DecisionTreeClassifier().fit(X, y), path)
    assert not path.exists()
    assert scirknn.load(path).predict(X[:1]).shape == (1,)


def test_rows_that_scikit_learn_refuses_are_refused(tmp_path: Path) -> None:
    X, y = digits()
    for name, model in {"m": DecisionTreeClassifier(), "n": AdaBoostClassifier(n_estimators=2)}.items():
        convert(model.fit(X, y), tmp_path / f"{name}.rknn")
    tree, boosted = (scirknn.load(tmp_path / f"{name}.rknn") for name in "mn")
    for model in (tree, boosted):
        with pytest.raises(scirknn.InputError, match="Input X contains infinity or a value too large"):
            model.predict(np.full((1, 64), 1e39))
    with pytest.raises(scirknn.InputError, match="Input X contains NaN"):
        boosted.predict(np.full((1, 64), np.nan))
    assert tree.predict(np.full((1, 64), np.nan)).shape == (1,)
    with pytest.raises(scirknn.InputError, match="X has 3 features"):
        tree.predict(np.zeros((1, 3)))


@pytest.mark.parametrize(
    "rows",
    [np.zeros((2, 3)), np.zeros(64), [["a"] * 64], np.full((2, 64), np.inf), np.zeros((0, 64))],
    ids=["too narrow", "one row", "text", "infinity", "no row"],
)
def test_example_rows_that_scikit_learn_refuses_are_named(rows: Any, tmp_path: Path) -> None:
    X, y = digits()
    with pytest.raises(ExampleInputError, match=r"(?s)example_input: .*Give rows of X as predict takes them"):
        convert(DecisionTreeClassifier().fit(X, y), tmp_path / "m.rknn", example_input=rows)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (
            csr_array(np.zeros((2, 64))),
            r"is a sparse matrix\. Give a dense sample of it: X\[:100\]",
        ),
        ((row for row in np.zeros((2, 64))), "is of generator, not a table"),
        ({"pixel": [0.0]}, "is of dict, not a table"),
        (5.0, "is of float, not a table"),
    ],
    ids=["sparse", "generator", "dictionary", "number"],
)
def test_an_example_that_is_no_table_of_rows_is_refused(rows: Any, text: str, tmp_path: Path) -> None:
    X, y = digits()
    with pytest.raises(ExampleInputError, match=f"example_input {text}"):
        convert(DecisionTreeClassifier().fit(X, y), tmp_path / "m.rknn", example_input=rows)
    assert not list(tmp_path.iterdir())


def test_a_precision_is_refused_where_the_host_computes_all(tmp_path: Path) -> None:
    X, y = digits()
    with pytest.raises(OptionError, match="precision is 'int8', and DecisionTreeClassifier is computed on"):
        convert(DecisionTreeClassifier().fit(X, y), tmp_path / "m.rknn", precision="int8")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"precision": "float16"}, "'variants' has 0 entries for the precision float16"),
        ({"epilogue": []}, "'classes' has 10 labels for 64 outputs"),
        ({"channels": 72}, "'variants' is empty, with 1 steps in 'epilogue'"),
        ({"output_parts": 2}, "'variants' is empty, and other keys are of a model file"),
    ],
)
def test_metadata_that_contradicts_itself_is_refused(
    change: dict[str, Any], text: str, tmp_path: Path
) -> None:
    X, y = digits()
    convert(DecisionTreeClassifier().fit(X, y), tmp_path / "m.rknn")
    sidecar = tmp_path / "m.rknn.json"
    document = json.loads(sidecar.read_text())
    document.pop("digest", None)
    sidecar.write_text(json.dumps({**document, **change}))
    with pytest.raises(scirknn.BundleError, match=re.escape(text)):
        scirknn.load(tmp_path / "m.rknn")


SMALL: dict[str, Any] = {
    "roots": np.array([0]),
    "columns": np.array([1, 0, 0]),
    "thresholds": np.array([0.5, 0.0, 0.0]),
    "below": np.array([1, 1, 2]),
    "above": np.array([2, 1, 2]),
    "missing": np.array([1, 1, 2]),
    "values": np.array([[0.0], [1.0], [2.0]]),
    "start": (0.0,),
    "divisor": 1.0,
    "single": True,
}


@pytest.mark.parametrize(
    "change",
    [
        {"below": np.array([0, 1, 2])},
        {"above": np.array([3, 1, 2])},
        {"missing": np.array([-1, 1, 2])},
        {"missing": np.array([1, 1])},
        {"below": np.array([1, 0, 2])},
        {"columns": np.array([-1, 0, 0])},
        {"roots": np.array([3])},
        {"roots": np.zeros(0, int)},
        {"values": np.zeros((3, 2))},
        {"divisor": 0.0},
    ],
)
def test_nodes_that_lead_nowhere_are_refused(change: dict[str, Any]) -> None:
    assert TreeSum(**SMALL).apply(np.array([[9.0, 0.5], [9.0, 0.6], [9.0, np.nan]])).tolist() == [
        [1],
        [2],
        [1],
    ]
    with pytest.raises(ValueError, match="the step 'tree_sum' has"):
        TreeSum(**{**SMALL, **change})


def test_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(ValueError, match="takes column 1 of 1"):
        TreeSum(**SMALL).width(1)


def test_the_bound_is_zero_where_compared_columns_are_exact() -> None:
    step, values = TreeSum(**SMALL), np.zeros((2, 2))
    np.testing.assert_array_equal(step.carry(values, np.array([[9.0, 0.0], [9.0, 1e-9]]))[:, 0], [0.0, 2.0])


def test_neural_networks_still_go_to_the_npu() -> None:
    X, y = digits()
    assert network_from_estimator(MLPClassifier((4,), max_iter=2).fit(X, y)).layers
