"""Subclasses: refused where they predict by methods of their own, converted where they do not."""

from __future__ import annotations

import types
from typing import Any

import attrs
import numpy as np
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import RadiusNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn2rknn import UnsupportedModelError, network_from_estimator
from sklearn2rknn.checking.own_predictions import check_own_predictions
from sklearn2rknn.network.network import Network
from tests.converter.fitted_pipelines import quietly_fitted

X, y = load_iris(return_X_y=True)
METHODS = ("predict", "predict_proba", "predict_log_proba", "_predict", "_forward_pass", "_forward_pass_fast")


class OwnFit(MLPClassifier):  # type: ignore[misc]  # scikit-learn is untyped
    """Changes __init__ and fit only."""

    def __init__(self, width: int = 4, max_iter: int = 5) -> None:
        super().__init__(hidden_layer_sizes=(width,), max_iter=max_iter, random_state=0)
        self.width = width

    def fit(self, X: Any, y: Any) -> Any:
        return super().fit(X - 0.0, y)


def _overriding(base: type, name: str) -> type:
    def method(self: Any, *arguments: Any, **options: Any) -> Any:
        return getattr(super(kind, self), name)(*arguments, **options)

    kind = type("Own", (base,), {name: method})
    return kind


def test_subclass_with_its_own_fit_is_converted() -> None:
    estimator = quietly_fitted(OwnFit(), X, y)
    network = network_from_estimator(estimator)
    np.testing.assert_array_equal(network.predict(network.forward(X)), estimator.predict(X))


@pytest.mark.parametrize("name", [*METHODS, "decision_function"])
def test_classifier_that_overrides_a_prediction_is_refused(name: str) -> None:
    kind = _overriding(MLPClassifier, name)
    estimator = quietly_fitted(MLPClassifier((4,), max_iter=5), X, y)
    estimator.__class__ = kind
    with pytest.raises(UnsupportedModelError, match=rf"Own has its own {name},.*plain = MLPClassifier\(\)"):
        network_from_estimator(make_pipeline(StandardScaler().fit(X), estimator))


@pytest.mark.parametrize("name", ["predict", "_predict", "_forward_pass_fast"])
def test_regressor_that_overrides_a_prediction_is_refused(name: str) -> None:
    estimator = quietly_fitted(MLPRegressor(hidden_layer_sizes=(4,), max_iter=5), X, y)
    estimator.__class__ = _overriding(MLPRegressor, name)
    with pytest.raises(UnsupportedModelError, match=f"Own has its own {name}"):
        network_from_estimator(estimator)


def test_search_that_overrides_predict_is_refused() -> None:
    search = quietly_fitted(GridSearchCV(MLPClassifier((4,), max_iter=5), {"alpha": [1e-4]}, cv=2), X, y)
    search.__class__ = _overriding(GridSearchCV, "predict")
    with pytest.raises(UnsupportedModelError, match="Own has its own predict"):
        network_from_estimator(search)


def test_method_set_on_an_instance_is_refused() -> None:
    estimator = quietly_fitted(MLPClassifier((4,), max_iter=5), X, y)
    estimator.predict = types.MethodType(lambda self, X: np.zeros(len(X)), estimator)
    with pytest.raises(UnsupportedModelError, match="MLPClassifier has its own predict"):
        network_from_estimator(estimator)


def test_predict_that_differs_by_something_else_is_refused_on_example_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    estimator = quietly_fitted(MLPClassifier((8,), max_iter=200, random_state=0), X, y)
    network = network_from_estimator(estimator)
    check_own_predictions(estimator, network, X)
    monkeypatch.setattr(MLPClassifier, "predict", lambda self, X: np.full(len(X), 7))
    with pytest.raises(
        UnsupportedModelError, match=r"gives something other than its weights do in \d+ of 150"
    ):
        check_own_predictions(estimator, network, X)


def check_row(estimator: Any, network: Network, row: int, *, is_refused: bool) -> None:
    """Check that the one row whose prediction was changed is named, or passes."""
    if is_refused:
        with pytest.raises(UnsupportedModelError, match=rf"in 1 of 150 example rows, first in row {row}\."):
            check_own_predictions(estimator, network, X)
    else:
        check_own_predictions(estimator, network, X)


@pytest.mark.parametrize(("gap", "is_refused"), [(0.01, True), (5e-4, False)])
def test_one_row_with_another_label_is_named_unless_it_is_a_tie(gap: float, is_refused: bool) -> None:
    estimator = quietly_fitted(MLPClassifier((8,), max_iter=20, random_state=0), X, y)
    outputs = network_from_estimator(estimator).forward(X)[70]
    *_, second, first = outputs.argsort()
    estimator.intercepts_[-1][second] += outputs[first] - outputs[second] - gap
    network, labels = network_from_estimator(estimator), estimator.predict(X)
    labels[70] = second
    estimator.predict = lambda X: labels
    check_row(estimator, network, 70, is_refused=is_refused)


@pytest.mark.parametrize(
    ("error", "is_refused"), [(0.01, True), (-0.01, True), (1e-4, False), (-1e-4, False), (np.nan, True)]
)
def test_one_number_that_differs_by_more_than_float32_explains_is_named(
    error: float, is_refused: bool
) -> None:
    estimator = quietly_fitted(
        MLPRegressor(hidden_layer_sizes=(8,), max_iter=20, random_state=0), X, X[:, :2]
    )
    network, values = network_from_estimator(estimator), estimator.predict(X)
    values[7, 1] += error * (1 + np.abs(values[7, 1]))
    estimator.predict = lambda X: values
    check_row(estimator, network, 7, is_refused=is_refused)


@pytest.mark.parametrize("targets", [np.arange(150), np.arange(150.0)])
@pytest.mark.filterwarnings("ignore:One or more samples have no neighbors", "ignore:invalid value")
def test_rows_without_neighbours_pass(targets: Any) -> None:
    estimator = RadiusNeighborsRegressor(1.0).fit(X, targets)
    rows = np.vstack([X, X[:1] + 100.0])
    check_own_predictions(estimator, network_from_estimator(estimator), rows)


def test_one_of_several_labels_that_differs_is_named() -> None:
    several = np.stack([y == 0, y == 1, y == 2], axis=1).astype(int)
    estimator = quietly_fitted(MLPClassifier((8,), max_iter=100, random_state=0), X, several)
    network, labels = network_from_estimator(estimator), estimator.predict(X)
    row = int(np.abs(network.forward(X)[:, 2]).argmax())
    labels[row, 2] = 1 - labels[row, 2]
    for predictions, text in (
        (labels, rf"in 1 of 150 example rows, first in row {row}\."),
        (labels[:, :2], "in 150 of"),
    ):
        estimator.predict = lambda X, given=predictions: given
        with pytest.raises(UnsupportedModelError, match=text):
            check_own_predictions(estimator, network, X)


@pytest.mark.parametrize(("gap", "is_refused"), [(0.01, True), (5e-4, False)])
def test_a_label_of_a_probability_is_a_tie_at_a_half(gap: float, is_refused: bool) -> None:
    several = np.stack([y == 0, y == 1], axis=1).astype(int)
    estimator = quietly_fitted(MLPClassifier((8,), max_iter=20, random_state=0), X, several)
    outputs = network_from_estimator(estimator).forward(X)
    estimator.intercepts_[-1][0] += 0.5 + gap - outputs[70, 0]
    network = attrs.evolve(network_from_estimator(estimator), head="identity")
    labels = (network.forward(X) > 0.5).astype(int)
    labels[70, 0] = 0
    estimator.predict = lambda X: labels
    check_row(estimator, network, 70, is_refused=is_refused)


@pytest.mark.parametrize("targets", [y, y.astype(float)])
def test_predictions_of_other_rows_are_refused(targets: Any) -> None:
    kind = MLPRegressor if targets.dtype.kind == "f" else MLPClassifier
    estimator = quietly_fitted(kind(hidden_layer_sizes=(4,), max_iter=5), X, targets)
    network, predictions = network_from_estimator(estimator), estimator.predict(X)
    estimator.predict = lambda X: predictions[:-1]
    with pytest.raises(UnsupportedModelError, match="in 150 of 150 example rows"):
        check_own_predictions(estimator, network, X)


def test_a_table_is_compared_by_the_names_of_its_columns() -> None:
    table = pytest.importorskip("pandas").DataFrame(X, columns=list("abcd"))
    front = ColumnTransformer([("scale", StandardScaler(), ["a", "c", "d"])])
    model = make_pipeline(front, LogisticRegression()).fit(table, y)
    network = network_from_estimator(model)
    for rows in (table[list("dcba")], table.assign(target=y), table.drop(columns="b")):
        np.testing.assert_array_equal(network.forward(rows), network.forward(table))
        check_own_predictions(model, network, rows)


@pytest.mark.parametrize("targets", [y.astype(float), np.c_[y, -y].astype(float)])
def test_regressors_of_one_and_several_targets_pass_the_comparison(targets: Any) -> None:
    estimator = quietly_fitted(MLPRegressor(hidden_layer_sizes=(8,), max_iter=20, random_state=0), X, targets)
    network = network_from_estimator(estimator)
    check_own_predictions(estimator, network, X)
    estimator.predict = lambda X: targets + 1
    with pytest.raises(UnsupportedModelError, match="of 150 example rows"):
        check_own_predictions(estimator, network, X)
