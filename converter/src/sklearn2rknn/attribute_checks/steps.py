"""What fit leaves in each transformer that is converted."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.cluster import FeatureAgglomeration
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.feature_selection import SelectorMixin
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import (
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)

from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.attribute_checks.categories import check_categories, check_groups
from sklearn2rknn.attribute_checks.front_steps import CHECKS, Check


def check_step(step: Any) -> None:
    """Refuse a fitted transformer whose attributes are not those that fit leaves.

    Raises
    ------
    UnsupportedModelError
        The text names the attribute.
    """
    attributes = Attributes(step)
    if isinstance(step, SelectorMixin):
        _check_selector(attributes)
    elif type(step) in _CHECKS:
        if attributes.get("n_features_in_") is None:
            return  # not fitted, which is refused elsewhere
        _CHECKS[type(step)](attributes, attributes.width())


def _check_standard_scaler(step: Attributes, width: int) -> None:
    step.flag("with_mean", "with_std")
    for key, least, is_needed in (
        ("mean_", None, step.get("with_mean")),
        ("scale_", 0.0, step.get("with_std")),
        ("var_", 0.0, False),
    ):
        if is_needed or step.has(key):
            step.row(key, width, least=least)
    if step.has("var_"):
        seen = np.asarray(step.get("n_samples_seen_"))
        if seen.dtype.kind not in "iuf" or seen.shape not in ((), (width,)) or not (seen >= 0).all():
            raise step.refuse("n_samples_seen_", "the number of rows")


def _check_min_max_scaler(step: Attributes, width: int) -> None:
    step.flag("clip")
    for key in ("scale_", "min_", "data_min_", "data_max_"):
        step.row(key, width)


def _check_max_abs_scaler(step: Attributes, width: int) -> None:
    step.flag("clip")
    step.row("scale_", width, least=0.0)
    step.row("max_abs_", width, least=0.0)


def _check_robust_scaler(step: Attributes, width: int) -> None:
    step.flag("with_centering", "with_scaling")
    if step.get("with_centering") or step.has("center_"):
        step.row("center_", width)
    if step.get("with_scaling") or step.has("scale_"):
        step.row("scale_", width, least=0.0)


def _check_pca(step: Attributes, width: int) -> None:
    step.flag("whiten")
    kept = step.array("components_", (None, width)).shape[0]
    step.row("mean_", width)
    step.row("explained_variance_", kept, least=0.0)
    step.row("explained_variance_ratio_", kept, least=0.0)
    step.count("n_samples_")


def _check_imputer(step: Attributes, width: int) -> None:
    step.flag("add_indicator", "keep_empty_features")
    step.array("statistics_", (width,), "biufOUS")
    for key in ("_fit_dtype", "_fill_dtype"):
        if step.has(key) and not isinstance(step.get(key), np.dtype):
            raise step.refuse(key, "a dtype")
    if step.get("add_indicator"):
        if type(step.get("indicator_")) is not MissingIndicator:
            raise step.refuse("indicator_", "a MissingIndicator")
        _check_indicator(Attributes(step.get("indicator_")), width)


def _check_indicator(step: Attributes, width: int) -> None:
    step.flag("error_on_new")
    step.choice("features", ("missing-only", "all"))
    step.flag("_precomputed")
    if step.count("_n_features") != width:
        raise step.refuse("_n_features", f"the number of features, {width}")
    features = step.array("features_", (None,), "iu")
    if len(features) and not (features.min() >= 0 and features.max() < width):
        raise step.refuse("features_", f"numbers of features below {width}")


def _check_one_hot(step: Attributes, width: int) -> None:
    step.choice("handle_unknown", ("error", "ignore", "infrequent_if_exist", "warn"))
    sizes = check_categories(step, width)
    dropped, grouped = step.get("drop_idx_"), step.get("_drop_idx_after_grouping")
    step.flag("_infrequent_enabled")
    _check_outputs(step, check_groups(step, sizes, [0] * width), grouped)
    if dropped is None:
        if grouped is not None and not step.get("_infrequent_enabled"):
            raise step.refuse("_drop_idx_after_grouping", "what drop_idx_ holds")
        return
    step.array("drop_idx_", (width,), "O")
    for index, size in zip(dropped.tolist(), sizes, strict=True):
        if index is not None and not (isinstance(index, (int, np.integer)) and 0 <= index < size):
            raise step.refuse("drop_idx_", "numbers of categories")
    if not step.get("_infrequent_enabled") and np.asarray(grouped, dtype=object).tolist() != dropped.tolist():
        raise step.refuse("_drop_idx_after_grouping", "what drop_idx_ holds")


def _check_outputs(step: Attributes, sizes: list[int], grouped: Any) -> None:
    """Check how many features each category makes; scikit-learn writes to memory by these numbers."""
    if grouped is not None:
        for index, size in zip(
            step.array("_drop_idx_after_grouping", (len(sizes),), "O"), sizes, strict=True
        ):
            if index is not None and not (isinstance(index, (int, np.integer)) and 0 <= index < size):
                raise step.refuse("_drop_idx_after_grouping", "numbers of categories")
    lost = [0] * len(sizes) if grouped is None else [int(index is not None) for index in grouped]
    if step.get("_n_features_outs") != [size - less for size, less in zip(sizes, lost, strict=True)]:
        raise step.refuse("_n_features_outs", f"the numbers of categories, {sizes}")


def _check_ordinal(step: Attributes, width: int) -> None:
    step.flag("_infrequent_enabled")
    if step.choice("handle_unknown", ("error", "use_encoded_value")) == "use_encoded_value":
        step.number("unknown_value")
    step.number("encoded_missing_value")
    sizes = check_categories(step, width)
    missing = step.get("_missing_indices")
    if not isinstance(missing, dict) or not all(
        isinstance(feature, (int, np.integer))
        and isinstance(code, (int, np.integer))
        and 0 <= feature < width
        and 0 <= code < sizes[feature]
        for feature, code in missing.items()
    ):
        raise step.refuse("_missing_indices", "the code of a missing value by feature")
    check_groups(step, sizes, [int(feature in missing) for feature in range(width)])


def _check_column_transformer(step: Attributes, width: int) -> None:
    step.weights("transformer_weights")
    indices = step.get("_transformer_to_input_indices")
    if not isinstance(indices, dict):
        raise step.refuse("_transformer_to_input_indices", "a dict of lists")
    for name, _, columns in step.items("transformers_", 3):
        taken = list(indices.get(name, ()))
        if not all(isinstance(index, (int, np.integer)) and 0 <= index < width for index in taken):
            raise step.refuse("_transformer_to_input_indices", f"numbers of columns below {width}")
        expected = _column_numbers(columns, step.get("feature_names_in_"), width)
        if expected is not None and name in indices and expected != taken:
            raise step.refuse("transformers_", "the columns of _transformer_to_input_indices")


def _column_numbers(columns: Any, names: Any, width: int) -> list[int] | None:
    """Return the numbers of columns that a ColumnTransformer chooses, None where they are not plain."""
    if isinstance(columns, slice) and all(
        end is None or isinstance(end, (int, np.integer))
        for end in (columns.start, columns.stop, columns.step)
    ):
        return list(range(width))[columns]
    items = [columns] if isinstance(columns, (str, int, np.integer)) else columns
    items = items.tolist() if isinstance(items, np.ndarray) else items
    if not isinstance(items, list):
        return None
    if items and all(isinstance(item, (bool, np.bool_)) for item in items):
        return [index for index, is_chosen in enumerate(items) if is_chosen]
    if all(isinstance(item, (int, np.integer)) for item in items):
        return [int(item) % width for item in items]
    if names is not None and all(isinstance(item, str) for item in items):
        places = {name: index for index, name in enumerate(list(names))}
        return [places.get(item, -1) for item in items]
    return None


def _check_selector(step: Attributes) -> None:
    if step.get("n_features_in_") is None:
        return
    width = step.width()
    support = step.instance.get_support()
    if np.asarray(support).dtype != bool or np.shape(support) != (width,):
        raise step.refuse("n_features_in_", f"as many features as get_support() gives, {np.size(support)}")


def _check_agglomeration(step: Attributes, width: int) -> None:
    labels = np.unique(step.array("labels_", (width,), "i"))
    if not np.array_equal(labels, np.arange(len(labels))):
        raise step.refuse("labels_", "the labels 0, 1, 2 and so on, each of some feature")


_CHECKS: dict[type, Check] = {
    **CHECKS,
    ColumnTransformer: _check_column_transformer,
    FeatureAgglomeration: _check_agglomeration,
    MaxAbsScaler: _check_max_abs_scaler,
    MinMaxScaler: _check_min_max_scaler,
    MissingIndicator: _check_indicator,
    OneHotEncoder: _check_one_hot,
    OrdinalEncoder: _check_ordinal,
    PCA: _check_pca,
    RobustScaler: _check_robust_scaler,
    SimpleImputer: _check_imputer,
    StandardScaler: _check_standard_scaler,
    TruncatedSVD: lambda step, width: step.array("components_", (None, width)),
}
