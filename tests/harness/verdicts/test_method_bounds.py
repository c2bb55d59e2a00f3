"""Each method's answer is held to scikit-learn's form, and to the bound that its steps carry on."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.mixture import GaussianMixture
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neural_network import BernoulliRBM
from sklearn.svm import SVC

from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.verdicts.head_bounds import HeadBound, bound_through_head
from rknn_harness.verdicts.judge import judge
from rknn_harness.verdicts.limits import Limits
from rknn_harness.verdicts.method_bounds import answers_to, method_bound, method_errors
from rknn_harness.verdicts.reference import Reference, reference
from scirknn.arrays import Array, Floats
from tests.converter.estimators.families.emulation import scaled

MODELS: dict[str, Any] = {
    "logistic": LogisticRegression(),
    "discriminant": LinearDiscriminantAnalysis(),
    "mixture": GaussianMixture(3, random_state=0),
    "kernels": SVC(),
    "projection": PCA(3),
    "trees": RandomForestClassifier(3, random_state=0),
    "targets": MultiOutputClassifier(LogisticRegression()),
}


def truth_of(name: str) -> Reference:
    X, y = scaled("wine")
    return reference(MODELS[name].fit(X, y if name != "targets" else np.stack([y > 0, y > 1], axis=1)), X)


def errors(truth: Reference, output: Array, bound: Floats, **planted: Array) -> list[str]:
    answered = answers_to(truth, output)
    through_head = bound_through_head(truth, bound)
    return list(method_errors(truth, bound, through_head, lambda name: planted.get(name, answered(name))))


@pytest.mark.parametrize("name", MODELS)
def test_errors_within_the_bound_pass_in_every_method(name: str) -> None:
    truth, random = truth_of(name), np.random.default_rng(0)
    exact = truth.answer.output
    for size in (0.0, 1e-6, 1e-2):
        bound = size * (1 + np.abs(exact)) * (name != "trees")
        assert errors(truth, exact + bound * random.uniform(-1, 1, exact.shape), bound) == []


@pytest.mark.parametrize("name", MODELS)
def test_a_number_beyond_the_bound_is_named_by_its_method(name: str) -> None:
    truth = truth_of(name)
    exact = truth.answer.output
    bound = np.full(exact.shape, 0.0 if name == "trees" else 1e-9)  # next to a threshold all may change
    for method, theirs in truth.methods.items():
        if theirs.dtype.kind == "f":
            planted = theirs.copy()
            planted[7] += 1e-3 * np.abs(theirs[np.isfinite(theirs)]).max()
            (error,) = errors(truth, exact, bound, **{method: planted})
            assert error.startswith(f"The answer of {method} of row 7")
            planted = theirs.copy()
            planted[7] = np.nan
            (error,) = errors(truth, exact, np.full(exact.shape, np.inf), **{method: planted})
            assert error.startswith(f"The answer of {method} of row 7")


def test_a_logarithm_is_steepest_below() -> None:
    truth = truth_of("trees")
    chances = truth.methods["predict_proba"]
    error = np.full(chances.shape, 0.1)
    through = HeadBound(error, np.ones(len(chances), bool))
    found = method_bound("predict_log_proba", truth, np.zeros_like(truth.answer.output), through)
    assert {round(each, 2) for each in np.unique(chances)} == {0.0, 0.33, 0.67, 1.0}
    known = chances > 0.1
    np.testing.assert_allclose(found[known], np.log(chances[known] / (chances[known] - 0.1)))
    assert np.isinf(found[~known]).all()


def test_the_bound_of_an_activated_output_is_that_of_its_steepest_place() -> None:
    X = scaled("wine")[0] > 0
    truth = reference(BernoulliRBM(3, n_iter=3, random_state=0).fit(X), X.astype(float))
    bound, through = np.full_like(truth.answer.output, 1e-6), HeadBound(np.ones(1), np.ones(1, bool))
    slope = truth.methods["transform"] * (1 - truth.methods["transform"])
    np.testing.assert_allclose(method_bound("transform", truth, bound, through), 1e-6 * slope, rtol=1e-5)


def test_a_wrong_label_off_ties_is_named() -> None:
    truth = truth_of("logistic")
    exact = truth.answer.output
    labels = truth.methods["predict"].copy()
    labels[3] = 2 - labels[3] if labels[3] != 1 else 0
    (error,) = errors(truth, exact, np.full(exact.shape, 1e-9), predict=labels)
    assert error.startswith("predict answers row 3 with")
    assert errors(truth, exact, np.full(exact.shape, 1e3), predict=labels) == []


@pytest.mark.parametrize("form", ["shape", "dtype"])
def test_another_form_is_named(form: str) -> None:
    truth = truth_of("kernels")
    exact = truth.answer.output
    decisions = truth.methods["decision_function"]
    other = decisions[:, :1] if form == "shape" else decisions.astype(np.float32)
    (error,) = errors(truth, exact, np.full(exact.shape, 1e3), decision_function=other)
    assert error.startswith("decision_function answers in shape")


def test_a_verdict_counts_the_methods() -> None:
    truth = truth_of("logistic")
    limits = {Stage.BOARD: Limits("made up", output=np.full_like(truth.answer.output, 1e-6))}
    right = judge(truth, {Stage.BOARD: truth.answer}, limits)
    assert (right.outcome, right.properties["methods"]) == (Outcome.PASS, "")
    methods = {**truth.methods, "decision_function": truth.methods["decision_function"] + 1.0}
    wrong = judge(attrs.evolve(truth, methods=methods), {Stage.BOARD: truth.answer}, limits)
    assert (wrong.outcome, wrong.cause) == (Outcome.MISMATCH, "methods")
    assert wrong.reason.startswith("The answer of decision_function of row ")
