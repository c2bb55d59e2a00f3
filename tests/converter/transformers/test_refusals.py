"""What has no counterpart is refused by name, with a cure."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import Isomap
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PowerTransformer,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVC

from sklearn2rknn import NotFittedError, Sklearn2RknnError, UnsupportedModelError, network_from_estimator
from tests.converter.fitted_pipelines import (
    fitted,
    perceptron,
    quietly_fitted,
    target,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


class Own(TransformerMixin, BaseEstimator):  # type: ignore[misc]  # sklearn is untyped
    def fit(self, X: Any, y: Any = None) -> Own:
        self.fitted_ = True
        return self

    def transform(self, X: Any) -> Any:
        return X

    def inverse_transform(self, X: Any) -> Any:
        return X


class OwnScaler(StandardScaler):  # type: ignore[misc]  # sklearn is untyped
    pass


class OwnSelector(VarianceThreshold):  # type: ignore[misc]  # sklearn is untyped
    def transform(self, X: Any) -> Any:
        return 2 * super().transform(X)


class OwnPipeline(Pipeline):  # type: ignore[misc]  # sklearn is untyped
    pass


TEXT = np.array([["a", 1.0], ["b", 2.0], ["a", 3.0], ["b", 1.0]] * 10, dtype=object)


@pytest.mark.parametrize(
    ("steps", "X", "said"),
    [
        ([Isomap()], None, "(Isomap) cannot be converted"),
        ([Own()], None, "Pipeline step 'own' (Own) cannot be converted"),
        ([OwnScaler()], None, "(OwnScaler) cannot be converted"),
        ([OwnSelector()], None, "(OwnSelector) cannot be converted"),
        ([OwnPipeline([("scale", StandardScaler())])], None, "(OwnPipeline) cannot be converted"),
        (
            [FunctionTransformer(np.round)],
            None,
            "(FunctionTransformer) has func=round: of functions those of numpy can be converted",
        ),
        (
            [FunctionTransformer(np.log1p, kw_args={"dtype": "float32"})],
            None,
            "(FunctionTransformer) has kw_args={'dtype': 'float32'}: a function of numpy can be",
        ),
        (
            [FeatureUnion([("a", StandardScaler()), ("b", Own())])],
            None,
            "Pipeline step 'featureunion', transformer 'b' (Own)",
        ),
        (
            [ColumnTransformer([("a", make_pipeline(Own()), [0])])],
            None,
            "Pipeline step 'columntransformer', transformer 'a', step 'own' (Own)",
        ),
        (
            [SplineTransformer(degree=0)],
            None,
            "(SplineTransformer) has degree=0: splines of degree 0 are bins",
        ),
        (
            [SplineTransformer(handle_missing="zeros")],
            None,
            "(SplineTransformer) has handle_missing='zeros': what is missing in X has no spline",
        ),
        (
            [PowerTransformer(), SimpleImputer(missing_values=0)],
            None,
            "(SimpleImputer) has missing_values=0: a missing value other than NaN must be imputed first",
        ),
        (
            [KBinsDiscretizer(encode="ordinal"), OneHotEncoder()],
            None,
            "(OneHotEncoder) looks up values that another step has computed",
        ),
        (
            [FeatureUnion([("a", StandardScaler()), ("b", MaxAbsScaler())], transformer_weights={"b": 0.0})],
            None,
            "a weight of 0 in transformer_weights: the features vanish. Use 'drop'",
        ),
        (
            [StandardScaler(), OneHotEncoder(handle_unknown="ignore")],
            None,
            "(OneHotEncoder) looks up values that another step has computed. Put it first",
        ),
        ([PCA(2), OrdinalEncoder()], None, "(OrdinalEncoder) looks up values that another step has computed"),
        (
            [OneHotEncoder(sparse_output=False), OneHotEncoder()],
            TEXT,
            "looks up values that another step has computed",
        ),
        (
            [StandardScaler(), SimpleImputer(missing_values=0)],
            None,
            "(SimpleImputer) has missing_values=0: a missing value other than NaN must be",
        ),
        (
            [MissingIndicator(features="missing-only")],
            np.where(np.eye(4)[np.arange(40) % 4] > 0, np.nan, 1.0),
            "(MissingIndicator) has error_on_new=True: the runtime does not look for new missing",
        ),
        (
            [SimpleImputer(), SimpleImputer(add_indicator=True, missing_values=0.0)],
            np.where(np.eye(4)[np.arange(40) % 4] > 0, 0.0, 1.0),
            "missing_values=0.0: a missing value other than NaN must be",
        ),
        (
            [
                ColumnTransformer(
                    [("a", SimpleImputer(strategy="most_frequent"), [1]), ("b", OneHotEncoder(), [0])]
                )
            ],
            np.array([["a", "1"], ["b", "2"], ["a", np.nan], ["b", "1"]] * 10, dtype=object),
            "MLPClassifier is given column 1 of X, which an imputer fills with '1'. Put a OneHotEncoder or",
        ),
        (
            [OneHotEncoder()],
            np.array([[np.datetime64("2020-01-01")], [np.datetime64("2021-01-01")]] * 20),
            "has the category datetime.date(2020, 1, 1) of type date; categories can be text",
        ),
        (
            [Isomap(n_neighbors=3)],
            None,
            "(Isomap) cannot be converted: it searches a graph of its training rows for each row. Apply it",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_what_has_no_counterpart_is_refused_by_name(steps: list[Any], X: Any, said: str) -> None:
    estimator, _ = fitted(*steps, X=X)
    with pytest.raises(UnsupportedModelError, match=re.escape(said)):
        network_from_estimator(estimator)


def _regressor(**options: Any) -> Any:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.uniform(1.0, 2.0, 40)
    inner = options.pop("regressor", perceptron("one output", "relu", 0))
    return quietly_fitted(TransformedTargetRegressor(inner, **options), X, y)


def _searched(**options: Any) -> Any:
    search = GridSearchCV(perceptron("classifier", "relu", 0), {"alpha": [1e-4]}, cv=2, **options)
    rng = np.random.default_rng(0)
    return quietly_fitted(search, rng.normal(size=(40, 3)), target("classifier", rng, 40))


def _changed() -> Any:
    estimator, _ = fitted(StandardScaler(), PCA(2))
    estimator.steps.pop(1)
    return estimator


def _without_scale() -> Any:
    estimator, _ = fitted(StandardScaler())
    estimator[0].scale_[2] = np.nan
    return estimator


@pytest.mark.parametrize(
    ("model", "error", "said"),
    [
        (
            lambda: _regressor(func=np.negative, inverse_func=lambda y: -y),
            UnsupportedModelError,
            "inverse_func=<lambda>: of functions those of numpy can be converted, without arguments",
        ),
        (
            lambda: _regressor(transformer=make_pipeline(StandardScaler(), Own())),
            UnsupportedModelError,
            "transformer, step 'own' (Own) is not affine for each target. Use a scaler, a PowerTransformer",
        ),
        (
            lambda: _regressor(transformer=PCA(1)),
            UnsupportedModelError,
            "transformer (PCA) is not affine for each target. Use a scaler",
        ),
        (
            lambda: _regressor(regressor=TransformedTargetRegressor(perceptron("one output", "relu", 0))),
            UnsupportedModelError,
            "lies inside another one",
        ),
        (TransformedTargetRegressor, NotFittedError, "TransformedTargetRegressor is not fitted"),
        (
            lambda: _searched(refit=False),
            UnsupportedModelError,
            "refit=False keeps no best_estimator_. Search with refit=True",
        ),
        (
            lambda: make_pipeline(StandardScaler(), "passthrough"),
            UnsupportedModelError,
            "str cannot be converted",
        ),
        (
            lambda: make_pipeline(StandardScaler(), IsotonicRegression()),
            UnsupportedModelError,
            "IsotonicRegression cannot be converted: it interpolates in one column",
        ),
        (
            lambda: OwnPipeline([("mlp", MLPClassifier())]),
            UnsupportedModelError,
            "Give a Pipeline of scikit-learn itself",
        ),
        (
            lambda: Pipeline([("scale", StandardScaler()), ("mlp", fitted()[0][-1])]),
            NotFittedError,
            "(StandardScaler) is not fitted. Call fit(X, y) on the complete",
        ),
        (
            _changed,
            UnsupportedModelError,
            "was fitted on 2 features and is given 4 by the steps before it. Fit the complete",
        ),
        (_without_scale, UnsupportedModelError, "holds statistics that are zero, NaN or infinite"),
        (
            lambda: make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(
                ["a cat", "a dog"] * 4, [0, 1] * 4
            ),
            UnsupportedModelError,
            "(TfidfVectorizer) cannot be converted: it takes texts, not rows of numbers; convert the model "
            "behind it. Apply it to X yourself",
        ),
        (
            lambda: SVC().fit(csr_array(np.eye(8)), [0, 1] * 4),
            UnsupportedModelError,
            "SVC.support_vectors_ is a sparse matrix. Fit to X.toarray(), or call densify()",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_models_that_cannot_be_converted_say_why(
    model: Any, error: type[Sklearn2RknnError], said: str
) -> None:
    with pytest.raises(error, match=re.escape(said)):
        network_from_estimator(model())
