"""scikit-learn's own checks of estimators: what passes is exactly what the README says."""

from __future__ import annotations

import itertools
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import permutation_importance
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.utils.estimator_checks import check_estimator
from sklearn.utils.validation import check_is_fitted

import scirknn
from tests.device_runtime.conftest import FakeLite, MakeBundle
from tests.device_runtime.estimators.test_estimator import fitted

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
    pytest.mark.filterwarnings("ignore::RuntimeWarning"),
]

README = Path(__file__).parents[3] / "device_runtime" / "README.md"


def claimed() -> dict[str, set[str]]:
    """The README's table: the checks of each result, by the result's first word."""
    found: dict[str, set[str]] = {}
    for result, checks in re.findall(r"^\| (\w+)[^|]*\| ([^|]*) \|$", README.read_text(), re.MULTILINE):
        found.setdefault(result, set()).update(re.findall(r"`(check_\w+)`", checks))
    return found


def results(estimator: Any) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for result in check_estimator(estimator, on_fail=None, on_skip=None):
        refused = "cannot be fitted" in repr(result["exception"])
        status = "calls" if result["status"] == "failed" and refused else result["status"]
        found.setdefault(status, set()).add(result["check_name"])
    return found


def test_the_list_is_exactly_what_is_claimed(make_bundle: MakeBundle) -> None:
    both: dict[str, set[str]] = {}
    for kind in ("softmax", "regressor"):
        with scirknn.load(make_bundle(fitted(kind), name=f"{kind}.rknn")) as model:
            for status, checks in results(model).items():
                both.setdefault(status, set()).update(checks)
    named = claimed()
    assert both["passed"] == named["passes"]
    assert both["skipped"] - {"check_classifier_data_not_an_array"} <= named["skipped"]
    # What is left calls fit: refused in words, or in others than the check looks for.
    assert named["fails"] <= both["failed"] | both["calls"]
    assert both["calls"]


class _Converted:
    """An estimator that is converted as soon as it is fitted."""

    make: MakeBundle
    numbers = itertools.count()

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        super().fit(X, y, sample_weight=sample_weight)  # type: ignore[misc]
        self.converted_: Any = scirknn.load(
            self.make(self, name=f"{next(self.numbers)}.rknn", samples=(1, 8))
        )
        return self

    def predict(self, X: Any) -> Any:
        check_is_fitted(self)
        return self.converted_.predict(X)


class ConvertedClassifier(_Converted, MLPClassifier):  # type: ignore[misc]
    def predict_proba(self, X: Any) -> Any:
        check_is_fitted(self)
        return self.converted_.predict_proba(X)

    def predict_log_proba(self, X: Any) -> Any:
        check_is_fitted(self)
        return self.converted_.predict_log_proba(X)


class ConvertedRegressor(_Converted, MLPRegressor):  # type: ignore[misc]
    pass


@pytest.mark.parametrize("kind", [ConvertedClassifier, ConvertedRegressor])
def test_all_that_call_fit_pass_when_it_converts(
    kind: Any, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Converted, "make", staticmethod(make_bundle), raising=False)
    # Raises at the first that fails.
    done = check_estimator(kind(hidden_layer_sizes=(50,), learning_rate_init=0.01, max_iter=40), on_skip=None)
    assert len([result for result in done if result["status"] == "passed"]) > 50


def test_scikit_learns_tools_take_a_converted_model(make_bundle: MakeBundle, lite: type[FakeLite]) -> None:
    X = np.random.default_rng(0).normal(size=(40, 5))
    for kind in ("softmax", "regressor"):
        estimator = fitted(kind)
        y = estimator.predict(X)
        with scirknn.load(make_bundle(estimator, name=f"{kind}.rknn")) as model:
            assert is_classifier(model) == (kind == "softmax")
            assert is_regressor(model) == (kind == "regressor")
            assert FrozenEstimator(model).fit(X, y).score(X, y) == pytest.approx(1.0, abs=1e-6)
            assert permutation_importance(model, X, y, n_repeats=2).importances.shape == (5, 2)
            for other in (clone(model), pickle.loads(pickle.dumps(model))):
                with other:
                    np.testing.assert_array_equal(other.predict(X), model.predict(X))
            before = lite.masks[-1]
            assert (before, model.set_params(core="0").get_params()["core"], lite.masks[-1]) == (None, "0", 1)
            with pytest.raises(scirknn.InputError, match=r"Invalid parameter 'cores' for estimator [CR]"):
                model.set_params(cores=3)
            with pytest.raises(scirknn.InputError, match="cannot be fitted"):
                model.fit(X, y)
