"""Instances completed where that is exact: what an older scikit-learn or a record lacks; or refused."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.isotonic import IsotonicRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.model_files.inert import Record, Workshop
from sklearn2rknn.model_files.model_names import SAMPLERS

_WIDTHS = {
    "MaxAbsScaler": ("scale_",),
    "MinMaxScaler": ("scale_", "min_"),
    "PCA": ("mean_", "components_"),
    "RobustScaler": ("center_", "scale_"),
    "SimpleImputer": ("statistics_",),
    "StandardScaler": ("scale_", "mean_", "var_"),
    "TruncatedSVD": ("components_",),
    "VarianceThreshold": ("variances_",),
}
"""Fitted attributes whose last axis has one value for each feature."""

_NEEDED = {
    "ColumnTransformer": ("_transformer_to_input_indices",),
    "MissingIndicator": ("_n_features", "_precomputed"),
    "OneHotEncoder": ("_drop_idx_after_grouping", "_infrequent_enabled", "_n_features_outs"),
    "OrdinalEncoder": ("_infrequent_enabled", "_missing_indices"),
    "SimpleImputer": ("_fill_dtype", "_fit_dtype"),
}
"""Attributes without which the present transform fails."""


def complete_old_instances(workshop: Workshop) -> None:
    """Give instances of older files the parameters and sizes that later versions record.

    Raises
    ------
    UnsupportedModelError
        The present scikit-learn would predict something else, or nothing; the text names the version.
    """
    for instance in workshop.instances:
        name = type(instance).__name__
        attributes = vars(instance)
        if type(instance) is Pipeline and type(attributes.get("steps")) is list:
            attributes["steps"] = [_without_sampler(each) for each in attributes["steps"]]
        if not any(key.endswith("_") for key in attributes):
            continue  # not fitted
        if name in ("OneHotEncoder", "OrdinalEncoder"):
            _complete_encoder(attributes)
        _refuse_too_old(attributes, name, workshop.versions.get(name, "an unknown version"))
        # A parameter that a later version added has a default that keeps what was done before.
        for key, parameter in inspect.signature(type(instance)).parameters.items():
            if parameter.default is not inspect.Parameter.empty:
                attributes.setdefault(key, parameter.default)
        if "n_features_in_" not in attributes:
            width = _fitted_width(attributes, name)
            if width is not None:
                attributes["n_features_in_"] = width
        if type(instance) is ColumnTransformer:
            _replace_passthrough(attributes)
        if type(attributes.get("_base_loss")) is Record:
            _restore_loss(instance)
        if type(instance) is IsotonicRegression:
            _restore_curve(instance)


def _without_sampler(entry: Any) -> Any:
    """Return a named step of a pipeline, which passes on what a sampler of imbalanced-learn would take.

    Samplers act in fit only, and a file holds them as records.
    """
    step = entry[1] if type(entry) is tuple and len(entry) == 2 else None
    return (entry[0], "passthrough") if type(step) is Record and step.full_name in SAMPLERS else entry


def _restore_loss(instance: Any) -> None:
    """Give a generalized linear model the loss that its parameters determine, which a file holds as a record.

    Its predict asks the loss for the link function.
    """
    power, link = vars(instance).get("power", 0), vars(instance).get("link", "log")
    if type(power) in (int, float) and type(link) is str and hasattr(type(instance), "_get_loss"):
        instance._base_loss = instance._get_loss()


def _restore_curve(instance: IsotonicRegression) -> None:
    """Give an isotonic regression the function that is never in a file, as its ``__setstate__`` does."""
    points, heights = (getattr(instance, key, None) for key in ("X_thresholds_", "y_thresholds_"))
    if isinstance(points, np.ndarray) and isinstance(heights, np.ndarray):
        instance._build_f(points, heights)


def _complete_encoder(attributes: dict[str, Any]) -> None:
    """Give an encoder of before 1.1 what its transform reads now, where it drops nothing.

    It grouped no infrequent categories then, and took none for missing.
    """
    categories = attributes.get("categories_")
    if (
        "_infrequent_enabled" in attributes
        or attributes.get("drop") is not None
        or type(categories) is not list
    ):
        return
    if not all(type(values) is np.ndarray and values.ndim == 1 for values in categories):
        return
    if any(values.dtype.kind == "f" and np.isnan(values).any() for values in categories):
        return
    attributes["_infrequent_enabled"] = False
    attributes.setdefault("_missing_indices", {})
    attributes["_drop_idx_after_grouping"] = None
    attributes["_n_features_outs"] = [len(values) for values in categories]
    attributes.setdefault("sparse_output", attributes.get("sparse", True))


def _refuse_too_old(attributes: dict[str, Any], name: str, version: str) -> None:
    missing = [key for key in _NEEDED.get(name, ()) if key not in attributes]
    if missing:
        raise UnsupportedModelError(
            f"The {name} was written by scikit-learn {version} and lacks {missing[0]}, so that the installed "
            "scikit-learn cannot predict with it. Fit it again with the installed scikit-learn."
        )


def _fitted_width(attributes: dict[str, Any], name: str) -> int | None:
    for key in _WIDTHS.get(name, ()):
        shape = getattr(attributes.get(key), "shape", ())
        if shape:
            return int(shape[-1])
    return None


def _replace_passthrough(attributes: dict[str, Any]) -> None:
    """Put the transformer that fit writes since scikit-learn 1.4 in place of the text "passthrough"."""
    fitted, indices = attributes.get("transformers_"), attributes["_transformer_to_input_indices"]
    if type(fitted) is not list or type(indices) is not dict:
        return
    for position, entry in enumerate(fitted):
        if type(entry) is tuple and len(entry) == 3 and type(entry[1]) is str and entry[1] == "passthrough":
            plain = FunctionTransformer(
                accept_sparse=True, check_inverse=False, feature_names_out="one-to-one"
            )
            columns = indices.get(entry[0]) if type(entry[0]) is str else None
            if type(columns) is list:
                plain.n_features_in_ = len(columns)
            fitted[position] = (entry[0], plain, entry[2])
