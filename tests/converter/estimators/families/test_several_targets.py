"""One model for each target or label: columns, labels and chains are scikit-learn's."""

from __future__ import annotations

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


@pytest.mark.parametrize("model", [LogisticRegression(max_iter=8), GaussianNB()])
def test_one_classifier_for_each_target_gives_its_labels_but_no_list_of_chances(model: Any) -> None:
    X = load("diabetes")[0][::4]
    model = fitted(MultiOutputClassifier(model), X, (X[:, :3] > 0).astype(int))
    emulated = Emulated.convert(model, X)
    assert emulated.methods == {"predict"}
    expected, exact = model.predict(X), emulated.exact("predict", X)
    assert (exact.dtype, exact.shape) == (expected.dtype, expected.shape)
    np.testing.assert_array_equal(exact, expected)
    assert_within_bound(emulated, X)
