"""One model for each target or label: columns, labels and chains are scikit-learn's."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import (
    ClassifierChain,
    MultiOutputClassifier,
    MultiOutputRegressor,
    RegressorChain,
)
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import scirknn
from scirknn.answers import ask
from scirknn.arrays import Floats
from scirknn.cli.commands import main
from scirknn.errors import InputError
from sklearn2rknn import convert
from tests.converter.estimators.families.emulation import (
    Emulated,
    assert_exact,
    assert_same_on_host,
    assert_within_bound,
    fitted,
    load,
    offered_methods,
)


@pytest.mark.parametrize("model", [LogisticRegression(max_iter=8), GaussianNB()])
def test_several_labels_of_a_row_keep_their_columns(model: Any) -> None:
    X = load("diabetes")[0][::4]
    emulated = Emulated.convert(fitted(OneVsRestClassifier(model), X, (X[:, :3] > 0).astype(int)), X)
    assert emulated.source.task == "multilabel"
    assert_exact(emulated, X)
    assert_within_bound(emulated, X)


@pytest.mark.parametrize("model", [LogisticRegression(max_iter=8), DecisionTreeClassifier(max_depth=3)])
def test_a_label_that_no_row_or_each_row_has_is_a_constant(model: Any) -> None:
    X = load("diabetes")[0][::4]
    y = np.stack([X[:, 0] > 0, np.ones(len(X)), np.zeros(len(X))], axis=1).astype(int)
    if isinstance(model, DecisionTreeClassifier):
        assert_same_on_host(fitted(OneVsRestClassifier(model), X, y), X)
        return
    for targets in (y, y[:, ::-1]):
        assert_exact(Emulated.convert(fitted(OneVsRestClassifier(model), X, targets), X), X)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
@pytest.mark.parametrize("model", [LogisticRegression(max_iter=8), LinearSVC()])
def test_a_chain_of_linear_classifiers_hands_on_its_answers(model: Any, method: str) -> None:
    X = load("diabetes")[0][::4]
    chain = ClassifierChain(model, order=[2, 0, 1], chain_method=method)
    if not hasattr(model, method):
        return
    chain = fitted(chain, X, (X[:, :3] > 0).astype(int))
    emulated = Emulated.convert(chain, X)
    assert emulated.methods <= offered_methods(chain)
    for each in emulated.methods:
        expected, exact = getattr(chain, each)(X), emulated.exact(each, X)
        assert (exact.shape, exact.dtype) == (expected.shape, expected.dtype)
        np.testing.assert_allclose(exact, expected, atol=1e-9)
    assert_within_bound(emulated, X)


@pytest.mark.parametrize("dtype", [np.int64, np.float64, np.bool_])
def test_a_loaded_chain_has_the_list_of_classes_and_the_arrays_of_answers(dtype: type) -> None:
    X = load("diabetes")[0][::4]
    chain = fitted(ClassifierChain(LogisticRegression(max_iter=8)), X, (X[:, :3] > 0).astype(dtype))
    with Emulated.convert(chain, X).loaded() as loaded:
        assert isinstance(loaded.classes_, list)
        np.testing.assert_array_equal(loaded.classes_, chain.classes_)
        assert [each.dtype for each in loaded.classes_] == [each.dtype for each in chain.classes_]
        for method in ("predict", "predict_proba", "decision_function"):
            theirs, ours = getattr(chain, method)(X), getattr(loaded, method)(X)
            assert (type(ours), ours.shape, ours.dtype) == (type(theirs), theirs.shape, theirs.dtype)
        assert loaded.score(X, loaded.predict(X)) == 1.0


def test_a_chain_is_printed_with_a_column_for_each_target(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    X = load("diabetes")[0][::4]
    chain = fitted(ClassifierChain(LogisticRegression(max_iter=8)), X, (X[:, :3] > 0).astype(int))
    np.save(tmp_path / "X.npy", X[:1])
    with Emulated.convert(chain, X).loaded() as loaded:
        monkeypatch.setattr("scirknn.cli.commands.read_bundle", lambda path: loaded.bundle)
        monkeypatch.setattr("scirknn.cli.commands.open_bundle", lambda bundle, **options: nullcontext(loaded))
        for option, header in (([], "0,1,2"), (["--proba"], "p(0),p(1),p(2)")):
            assert main(["predict", "model.rknn", str(tmp_path / "X.npy"), *option]) == 0
            assert capsys.readouterr().out.splitlines()[0] == header


def test_a_chain_of_linear_regressors_is_one_layer() -> None:
    X, y = load("diabetes")
    targets = np.stack([y, X[:, 0] * 100 - y, X[:, 2]], axis=1)
    emulated = Emulated.convert(fitted(RegressorChain(Ridge(), order=[2, 0, 1]), X, targets), X)
    assert not emulated.source.epilogue
    assert_exact(emulated, X)


@pytest.mark.parametrize("model", [Ridge(), DecisionTreeRegressor(max_depth=3)])
def test_one_regressor_for_each_target_keeps_their_columns(model: Any) -> None:
    X, y = load("diabetes")
    model = fitted(MultiOutputRegressor(model), X, np.stack([y, X[:, 0] * 100 - y], axis=1))
    if isinstance(model.estimator, Ridge):
        assert_exact(Emulated.convert(model, X), X)
    else:
        assert_same_on_host(model, X)


def of_targets(member: Any, labels: list[Any]) -> tuple[Any, Floats]:
    """Return a classifier of three targets, each of them one of two labels, and rows."""
    X = load("diabetes")[0][::4]
    return fitted(MultiOutputClassifier(member), X, np.array(labels)[(X[:, :3] > 0).astype(int)]), X


@pytest.mark.parametrize("member", [LogisticRegression(max_iter=8), GaussianNB(), LinearSVC()])
def test_one_classifier_for_each_target_keeps_their_columns(member: Any) -> None:
    model, X = of_targets(member, [0, 1])
    emulated = Emulated.convert(model, X)
    assert emulated.methods == offered_methods(model)
    for method in emulated.methods:
        np.testing.assert_allclose(emulated.exact(method, X), ask(model, method, X), atol=1e-9)
    assert_within_bound(emulated, X)


@pytest.mark.parametrize("labels", [[0, 1], [-1.0, 1.0], [False, True], ["no", "yes"]])
def test_a_loaded_classifier_of_targets_answers_lists_and_labels_as_scikit_learn_does(
    labels: list[Any],
) -> None:
    model, X = of_targets(LogisticRegression(max_iter=8), labels)
    with Emulated.convert(model, X).loaded() as loaded:
        for theirs, ours in (
            (model.classes_, loaded.classes_),
            (model.predict_proba(X), loaded.predict_proba(X)),
            (model.predict_proba(X[:1]), loaded.predict_proba(X[:1])),
        ):
            assert isinstance(ours, list)
            assert [(each.shape, each.dtype) for each in ours] == [
                (each.shape, each.dtype) for each in theirs
            ]
        np.testing.assert_array_equal(loaded.classes_, model.classes_)
        np.testing.assert_allclose(loaded.predict_proba(X), model.predict_proba(X), atol=2e-3)
        theirs, ours = model.predict(X), loaded.predict(X)
        clear = np.abs(np.array(model.predict_proba(X))[:, :, 1].T - 0.5) > 2e-3
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
        np.testing.assert_array_equal(ours[clear], theirs[clear])
        assert loaded.score(X, ours) == 1.0
        assert loaded.score(X[clear.all(axis=1)], theirs[clear.all(axis=1)]) == 1.0


def test_targets_of_other_shapes_meet_scikit_learns_texts_in_score() -> None:
    model, X = of_targets(LogisticRegression(max_iter=8), [0, 1])
    with Emulated.convert(model, X).loaded() as loaded:
        for y in (np.zeros(len(X)), np.zeros((len(X), 2))):
            with pytest.raises(ValueError, match=r"y must have|outputs of Y") as theirs:
                model.score(X, y)
            with pytest.raises(InputError) as ours:
                loaded.score(X, y)
            assert str(ours.value) == str(theirs.value)


def test_trees_for_each_target_are_written_read_and_printed_with_their_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, X = of_targets(DecisionTreeClassifier(max_depth=3), ["no", "yes"])
    path = tmp_path / "model.rknn"
    convert(model, path, example_input=X)
    with scirknn.load(path) as loaded:
        np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
        np.testing.assert_array_equal(loaded.classes_, model.classes_)
    np.save(tmp_path / "X.npy", X[:1])
    assert main(["predict", str(path), str(tmp_path / "X.npy"), "-", "--proba"]) == 0
    header, row = capsys.readouterr().out.splitlines()
    assert header == "p(0=no),p(0=yes),p(1=no),p(1=yes),p(2=no),p(2=yes)"
    assert [float(each) for each in row.split(",")] == np.hstack(model.predict_proba(X[:1])).ravel().tolist()
    assert main(["predict", str(path), str(tmp_path / "X.npy"), "-"]) == 0
    assert capsys.readouterr().out.splitlines() == ["0,1,2", ",".join(model.predict(X[:1])[0])]


def test_a_row_that_no_class_claims_has_no_probabilities(tmp_path: Path) -> None:
    X, y = load("wine")
    model = fitted(OneVsRestClassifier(DecisionTreeClassifier(max_depth=3, random_state=0)), X[::3], y[::3])
    convert(model, tmp_path / "model.rknn")
    expected = np.nan_to_num(model.predict_proba(X))  # earlier scikit-learns may divide 0 by 0
    assert (expected == 0).all(axis=1).any()
    with scirknn.load(tmp_path / "model.rknn") as loaded:
        np.testing.assert_array_equal(loaded.predict_proba(X), expected)
