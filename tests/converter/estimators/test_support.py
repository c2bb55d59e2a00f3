"""Every estimator of the installed scikit-learn has its line, and a line that says so can be converted."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
import sklearn
from click.testing import CliRunner
from sklearn.base import BaseEstimator
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Ridge
from sklearn.manifold import TSNE
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import all_estimators
from sklearn.utils._test_common.instance_generator import _construct_instances

from scirknn.answers import METHODS, SCORES, SEARCHES, answer, ask, final_values, main_method, responses_of
from scirknn.bundle import Owner
from scirknn.networks.costs import Costs
from sklearn2rknn import UnsupportedModelError, network_from_estimator
from sklearn2rknn.__main__ import main
from sklearn2rknn.estimators.registry import ESTIMATORS
from sklearn2rknn.estimators.support import Support, support_table
from sklearn2rknn.network.network import Network

KINDS = dict(all_estimators())
TABLE = {line.estimator: line for line in support_table()}
CONVERTED = sorted(name for name, kind in KINDS.items() if ESTIMATORS.find(kind) is not None)
POSITIVE = (
    "CategoricalNB",
    "MultinomialNB",
    "ComplementNB",
    "GammaRegressor",
    "PoissonRegressor",
    "TweedieRegressor",
    "SkewedChi2Sampler",
)
SEVERAL_TARGETS = ("ClassifierChain", "MultiOutputClassifier", "MultiOutputRegressor", "RegressorChain")


def test_every_estimator_has_one_line_which_is_a_form_or_a_refusal() -> None:
    assert sorted(TABLE) == sorted(KINDS)
    for line in TABLE.values():
        assert bool(line.form) != bool(line.refusal), line
        assert bool(line.methods) == bool(line.precisions) == bool(line.worth), line


def test_a_step_alone_says_where_it_belongs() -> None:
    step = PolynomialFeatures().fit(np.ones((3, 2)))
    with pytest.raises(UnsupportedModelError, match="PolynomialFeatures is a step in front of a model"):
        network_from_estimator(step)


def fitted(name: str) -> tuple[Any, np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    X = random.normal(size=(60, 5))
    X = np.abs(X) if name in POSITIVE else X
    kind = KINDS[name]
    if name == "FrozenEstimator":
        return kind(Ridge().fit(X, X[:, 0])), X
    model = kind() if name.startswith("Dummy") else next(iter(_construct_instances(kind)))
    if name == "LocalOutlierFactor":
        model.set_params(novelty=True)
    y: Any = (X[:, 0] > 0).astype(int)
    if getattr(model, "_estimator_type", "") == "regressor" or issubclass(kind, _regressors()):
        y = np.abs(X[:, 0] + 2 * X[:, 1]) + 0.1
    if name.startswith("MultiTask") or name in ("PLSCanonical", "CCA", "PLSSVD", *SEVERAL_TARGETS):
        y = np.stack([X[:, 0], X[:, 1] + X[:, 2]], axis=1)
    if name in ("ClassifierChain", "MultiOutputClassifier"):
        y = (y > 0).astype(int)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y), X


def _regressors() -> tuple[type, ...]:
    return tuple(kind for _, kind in all_estimators(type_filter="regressor"))


@pytest.mark.parametrize("name", CONVERTED)
def test_a_line_that_says_so_can_be_converted(name: str) -> None:
    model, X = fitted(name)
    network = network_from_estimator(model)
    rows = network.expand(X)
    values = final_values(network, network.forward(X), rows)
    offered = {method for method in TABLE[name].methods if hasattr(model, method)}
    assert offered <= set(responses_of(network))
    score = network.score or SCORES.get(network.task, "none")
    assert (score != "none") == hasattr(model, "score")
    for around in (model, Pipeline([("model", model)])):
        assert_texts_of_missing_methods(around, network_from_estimator(around))
    assert set(responses_of(network)) <= set(TABLE[name].methods)
    assert set(TABLE[name].methods) <= set(METHODS)
    for method in {main_method(network), *responses_of(network)} - (set(SEARCHES) - {main_method(network)}):
        expected, given = ask(model, method, X), answer(network, method, values, rows)
        assert (given.shape, given.dtype) == (expected.shape, expected.dtype), method
        if expected.dtype.kind == "f" and method != "predict_log_proba":
            np.testing.assert_allclose(given, expected, rtol=1e-6, atol=1e-7 * np.abs(expected).max())
        elif expected.dtype.kind != "f":
            assert (given == expected).all()


def assert_texts_of_missing_methods(model: Any, network: Network) -> None:
    """Assert that a missing method has scikit-learn's text."""
    owner = network.owner or Owner(network.estimator, ())
    for method in (*METHODS, "score"):
        if hasattr(model, method):
            assert method not in owner.lacking
            continue
        with pytest.raises(AttributeError) as caught:
            getattr(model, method)
        assert owner.text_of(method) == str(caught.value)


ROWS = np.random.default_rng(0).normal(size=(60, 3))
LABELS = (ROWS[:, 0] > 0).astype(int)
FROZEN = FrozenEstimator(SVC().fit(ROWS, LABELS))
SEARCH = GridSearchCV(make_pipeline(StandardScaler(), SVC()), {"svc__C": [1.0, 2.0]}, cv=2)


@pytest.mark.parametrize(
    "model",
    [
        SEARCH,
        FROZEN,
        make_pipeline(StandardScaler(), FROZEN),
        TransformedTargetRegressor(Ridge()),
        VotingClassifier([("frozen", FROZEN), ("linear", LinearSVC())]),
    ],
    ids=["search", "frozen", "pipeline of a frozen one", "scaled target", "members"],
)
def test_a_missing_method_has_the_text_of_what_is_around_the_estimator(model: Any) -> None:
    model = model.fit(ROWS, LABELS)
    assert_texts_of_missing_methods(model, network_from_estimator(model))


def test_an_estimator_of_a_later_version_is_not_there_yet() -> None:
    class Newest(BaseEstimator):  # type: ignore[misc]
        def predict(self, X: Any) -> Any:
            return X

    assert support_table([Newest]) == (Support("Newest", refusal="not yet"),)


def test_what_can_never_be_converted_says_why() -> None:
    assert TABLE["TSNE"].refusal == "has no predict or transform for new rows"
    assert TABLE["NMF"].refusal == "solves an optimisation for each row"
    model = TSNE(perplexity=3).fit(np.random.default_rng(0).normal(size=(9, 2)))
    with pytest.raises(
        UnsupportedModelError, match="TSNE cannot be converted: it has no predict or transform"
    ):
        network_from_estimator(model)


def test_a_line_leaves_out_no_method_but_those_that_cannot_be_right() -> None:
    lacking = {
        name: {method for method in METHODS if hasattr(KINDS[name], method)} - set(TABLE[name].methods)
        for name in CONVERTED
    }
    assert {name: methods for name, methods in lacking.items() if methods} == {
        "BernoulliRBM": {"score_samples"}  # it draws at random
    }


def test_only_transformers_of_columns_are_not_there_yet() -> None:
    others = {line.estimator for line in TABLE.values() if line.refusal == "not yet"}
    assert others == {"PolynomialCountSketch", "RandomTreesEmbedding", "TfidfTransformer"}
    with pytest.raises(UnsupportedModelError, match="CountVectorizer cannot be converted: it takes texts"):
        network_from_estimator(CountVectorizer().fit(["a word"]))


def test_a_dense_layer_is_worth_the_npu_from_where_a_call_costs_less_on_it() -> None:
    """A call's fixed costs, with the estimate's submission and one task, in multiply-adds of the CPU."""
    costs, worth = Costs(), TABLE["LogisticRegression"].worth
    fixed = (costs.npu_call + 95e-6 + 14e-6 - costs.cpu_call - costs.cpu_layer) / costs.cpu_multiply_add
    assert 7e6 < fixed < 8e6
    assert "8 million products" in worth
    assert round(costs.npu_element / costs.cpu_multiply_add, -1) == 120
    assert "120 more for each number in and out" in worth


def test_the_command_prints_the_table_and_its_json() -> None:
    printed = CliRunner().invoke(main, ["supported"])
    assert printed.exit_code == 0
    assert printed.output.startswith(f"What the estimators of scikit-learn {sklearn.__version__} become. ")
    assert "LogisticRegression" in printed.output
    assert "refused: solves an optimisation for each row" in printed.output
    assert max(map(len, printed.output.splitlines())) <= 80
    lines = json.loads(CliRunner().invoke(main, ["supported", "--json"]).output)
    assert {line["estimator"] for line in lines} == set(KINDS)
    assert [line["methods"] for line in lines if line["estimator"] == "LinearSVC"] == [
        ["predict", "decision_function"]
    ]
