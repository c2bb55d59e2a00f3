"""Loaded models of every family: methods, attributes, forms of answers and error texts are scikit-learn's.

One kind of each family by default, every kind in full counts.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import scirknn
from rknn_harness.models.family import families
from rknn_harness.models.family_model import build_family_model
from rknn_harness.records.specs.family_spec import FamilySpec
from scirknn.answers import METHODS, SEARCHES, main_method
from scirknn.estimators.methods import Methods
from sklearn2rknn import Toolkit, convert
from tests.counts import FULL

KINDS = [
    pytest.param((name, kind), id=f"{name}-{kind}")
    for name, family in families().items()
    for kind in (family.kinds if FULL else list(family.kinds)[:1])
]

LEFT_OUT = {
    "BernoulliRBM": {"score_samples"},  # it changes columns drawn at random
}
"""Methods and attributes of an estimator that a loaded model has not, or in another form."""

OTHERWISE: dict[str, tuple[str, ...]] = {
    "AdaBoostClassifier": ("three dimensions",),  # it counts columns first
    "AdaBoostClassifier of members": ("three dimensions",),
    "AdaBoostRegressor": ("three dimensions",),
    "CalibratedClassifierCV": ("a number",),  # it counts rows first
    "CategoricalNB": ("infinity", "texts"),  # it reads integers
    "DummyClassifier": ("all",),  # it takes anything
    "DummyRegressor": ("all",),
    "FunctionTransformer": ("texts",),  # its function gets them
    "GradientBoostingClassifier": ("infinity",),  # it reads float32
    "GradientBoostingRegressor": ("infinity",),
    "HistGradientBoostingClassifier": ("infinity",),  # it takes infinity, which no file of rows holds
    "HistGradientBoostingRegressor": ("infinity",),
    "IsolationForest": ("infinity",),
    "LocalOutlierFactor": ("NaN", "infinity", "three dimensions", "no rows"),  # it gives no name
    "OneVsRestClassifier": ("a number",),
    "OneVsRestClassifier of several labels": ("a number",),
    "SimpleImputer": ("texts",),
}
"""Bad rows that are refused too, in other words than scikit-learn's, or that scikit-learn takes."""

ATTRIBUTES = ("classes_", "n_features_in_", "feature_names_in_")


@attrs.frozen(eq=False)
class Pair:
    """An estimator of a kind, its loaded model, and rows."""

    kind: str
    theirs: Any
    ours: Methods
    X: np.ndarray[Any, Any]

    def results(self, method: str, X: Any) -> tuple[Any, Any]:
        """Return what both answer, or the errors that both raise."""
        return _result(self.theirs, method, X), _result(self.ours, method, X)


def _result(model: Any, method: str, X: Any) -> Any:
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            return np.asarray(getattr(model, method)(X))
        except (TypeError, ValueError) as error:
            return error


@pytest.fixture(scope="module", params=KINDS)
def pair(
    request: pytest.FixtureRequest, toolkit: Toolkit, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pair]:
    family, name = request.param
    kind = families()[family].kinds[name]
    parameters = tuple((each, values[0]) for each, values in sorted(kind.choices.items()))
    spec = FamilySpec(family, name, parameters, n_features=max(4, kind.features[0]))
    model = build_family_model(spec)
    path: Path = tmp_path_factory.mktemp("family") / "model.rknn"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert(model.estimator, path, example_input=model.fitted, toolkit=toolkit)
    with scirknn.load(path, device="virtual") as loaded:
        yield Pair(name, model.estimator, loaded, model.X)


def owner(estimator: Any, method: str) -> Any:
    """Return what has a method in scikit-learn: a pipeline has no searches, a loaded model has."""
    return last_step(estimator) if method in SEARCHES else estimator


def last_step(estimator: Any) -> Any:
    return getattr(estimator, "steps", [("", estimator)])[-1][1]


def test_methods_are_there_or_missing_as_in_scikit_learn(pair: Pair) -> None:
    left_out = LEFT_OUT.get(pair.kind, set())
    for method in set(METHODS) - left_out:
        assert hasattr(pair.ours, method) == hasattr(owner(pair.theirs, method), method), method


def test_a_missing_method_has_scikit_learns_text(pair: Pair) -> None:
    for method in (*METHODS, "score"):
        if not (hasattr(pair.ours, method) or hasattr(pair.theirs, method)):
            assert text_of_missing(pair.ours, method) == text_of_missing(pair.theirs, method)


def text_of_missing(model: Any, method: str) -> str:
    with pytest.raises(AttributeError) as caught:
        getattr(model, method)
    return str(caught.value)


def test_attributes_are_there_or_missing_as_in_scikit_learn(pair: Pair) -> None:
    for name in set(ATTRIBUTES) - LEFT_OUT.get(pair.kind, set()):
        assert hasattr(pair.ours, name) == hasattr(pair.theirs, name), name
        if hasattr(pair.theirs, name):
            assert isinstance(getattr(pair.ours, name), type(getattr(pair.theirs, name)))
            theirs, ours = np.asarray(getattr(pair.theirs, name)), np.asarray(getattr(pair.ours, name))
            np.testing.assert_array_equal(ours, theirs)
            assert ours.dtype == theirs.dtype


@pytest.mark.parametrize("form", ["one row", "float32", "a list", "Fortran order"])
def test_answers_have_scikit_learns_shapes_and_dtypes(pair: Pair, form: str) -> None:
    rows: Any = {
        "one row": pair.X[:1],
        "float32": pair.X[:9].astype(np.float32),
        "a list": pair.X[:9].tolist(),
        "Fortran order": np.asfortranarray(pair.X[:9]),
    }[form]
    for method in METHODS:
        if hasattr(pair.ours, method) and hasattr(pair.theirs, method):
            theirs, ours = pair.results(method, rows)
            if isinstance(theirs, Exception) or is_odd(pair, form):
                continue
            assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), method


def test_probabilities_are_a_list_where_scikit_learns_are(pair: Pair) -> None:
    if hasattr(pair.theirs, "predict_proba"):
        theirs, ours = (model.predict_proba(pair.X[:9]) for model in (pair.theirs, pair.ours))
        assert type(ours) is type(theirs)


def is_odd(pair: Pair, form: str) -> bool:
    """Whether scikit-learn's own shape is a fault: of one row SparsePCA gives one dimension."""
    return form == "one row" and pair.kind == "SparsePCA"


BAD: dict[str, Any] = {
    "a column less": lambda X: X[:, :-1],
    "a column more": lambda X: np.hstack([X, X[:, :1]]),
    "NaN": lambda X: np.where(np.arange(X.size).reshape(X.shape) == 5, np.nan, X),
    "infinity": lambda X: np.where(np.arange(X.size).reshape(X.shape) == 5, np.inf, X),
    "one dimension": lambda X: X[0],
    "three dimensions": lambda X: X[None],
    "no rows": lambda X: X[:0],
    "texts": lambda X: np.full(X.shape, "word", object),
    "a number": lambda X: 3.0,
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_rows_meet_scikit_learns_error(pair: Pair, fault: str) -> None:
    theirs, ours = pair.results(main_method(pair.ours.bundle), BAD[fault](pair.X[:9]))
    if is_otherwise(pair, fault):
        assert isinstance(ours, ValueError)
        return
    if not isinstance(theirs, Exception):
        assert not isinstance(ours, Exception)  # trees take NaN
        return
    assert isinstance(ours, ValueError)
    assert without_name(first_line(ours)) == without_name(first_line(theirs))


def is_otherwise(pair: Pair, fault: str) -> bool:
    faults = OTHERWISE.get(pair.kind, ())
    return "all" in faults or fault in faults


def without_name(text: str) -> str:
    """Return an error's text without who gives it: in scikit-learn a member or a step, here the model."""
    return re.sub(r" required( by \w+)?\.$|\w+ is expecting", "", text)


def first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def test_names_of_columns_are_checked_as_scikit_learn_does(pair: Pair) -> None:
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame(pair.X[:9], columns=[f"c{number}" for number in range(pair.X.shape[1])])
    theirs, ours = pair.results(main_method(pair.ours.bundle), table)
    np.testing.assert_equal((ours.shape, ours.dtype), (theirs.shape, theirs.dtype))
