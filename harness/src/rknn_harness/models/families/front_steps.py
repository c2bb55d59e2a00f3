"""Steps in front of a model that the host computes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.impute import KNNImputer, SimpleImputer
from sklearn.kernel_approximation import AdditiveChi2Sampler
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MinMaxScaler,
    Normalizer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from rknn_harness.models.families.members import LAYERS
from rknn_harness.models.kind import Columns, Kind, Target, fixed, kind

_MODELS: dict[Target, dict[str, Any]] = {
    Target.CLASSES: {"linear": LogisticRegression(), "layers": MLPClassifier(**LAYERS)},
    Target.NUMBER: {"linear": Ridge(), "layers": MLPRegressor(**LAYERS)},
}


def _front(
    make: Callable[..., Any],
    target: Target,
    *,
    columns: Columns = Columns.NUMBERS,
    features: tuple[int, int] = (1, 33),
    name: str = "",
    **choices: Any,
) -> Kind:
    """Return a kind that is a step, a scaler and a model; by default named after the step."""

    def make_pipeline_of(model: str, **parameters: Any) -> Pipeline:
        return make_pipeline(make(**parameters), StandardScaler(), clone(_MODELS[target][model]))

    name, models = name or make.__name__, ("linear", "layers")
    return kind(
        make_pipeline_of, target, name=name, columns=columns, features=features, model=models, **choices
    )


def _function(function: str) -> FunctionTransformer:
    return FunctionTransformer(getattr(np, function))


KINDS = (
    _front(PolynomialFeatures, Target.NUMBER, features=(1, 9), degree=(2, 3), interaction_only=(False, True)),
    _front(PowerTransformer, Target.CLASSES, standardize=(True, False)),
    _front(
        functools.partial(PowerTransformer, "box-cox"),
        Target.NUMBER,
        columns=Columns.SHARES,
        name="PowerTransformer of Box and Cox",
    ),
    _front(
        QuantileTransformer,
        Target.CLASSES,
        n_quantiles=(20, 60),
        output_distribution=("uniform", "normal"),
        random_state=(0,),
    ),
    _front(
        KBinsDiscretizer,
        Target.NUMBER,
        n_bins=(3, 5),
        encode=("onehot-dense", "ordinal"),
        strategy=("uniform", "quantile"),
    ),
    _front(
        SplineTransformer,
        Target.NUMBER,
        features=(1, 9),
        n_knots=(3, 5),
        degree=(1, 3),
        extrapolation=("constant", "linear", "continue", "periodic"),
    ),
    _front(Normalizer, Target.CLASSES, norm=("l1", "l2", "max")),
    _front(Binarizer, Target.CLASSES, threshold=(0.0, 0.5)),
    _front(
        _function,
        Target.CLASSES,
        columns=Columns.COUNTS,
        name="FunctionTransformer",
        function=("log1p", "sqrt", "cbrt"),
    ),
    _front(MinMaxScaler, Target.NUMBER, clip=(True, False)),
    _front(AdditiveChi2Sampler, Target.CLASSES, columns=Columns.COUNTS, sample_steps=(1, 2)),
    _front(
        TargetEncoder, Target.CLASSES, columns=Columns.CATEGORIES, smooth=("auto", 5.0), random_state=(0,)
    ),
    _front(
        OneHotEncoder,
        Target.CLASSES,
        columns=Columns.CATEGORIES,
        features=(1, 9),
        min_frequency=(None, 8),
        handle_unknown=("infrequent_if_exist",),
        sparse_output=(False,),
    ),
    _front(
        OrdinalEncoder,
        Target.NUMBER,
        columns=Columns.CATEGORIES,
        min_frequency=(None, 8),
        handle_unknown=("use_encoded_value",),
        unknown_value=(-1,),
    ),
    _front(
        KNNImputer, Target.NUMBER, columns=Columns.GAPS, n_neighbors=(1, 5), weights=("uniform", "distance")
    ),
    _front(
        SimpleImputer,
        Target.CLASSES,
        columns=Columns.GAPS,
        strategy=("mean", "median"),
        add_indicator=(False, True),
    ),
)

FIXED = (
    fixed("PowerTransformer", "wine", decades=5, model="linear", standardize=True),
    fixed("PolynomialFeatures", "diabetes", model="linear", degree=2, interaction_only=False),
    fixed(
        "QuantileTransformer",
        "breast_cancer",
        model="layers",
        n_quantiles=60,
        output_distribution="normal",
        random_state=0,
    ),
)
