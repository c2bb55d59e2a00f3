"""What fit leaves in the transformers that the host computes in front of a network."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sklearn.impute import KNNImputer, MissingIndicator
from sklearn.kernel_approximation import AdditiveChi2Sampler
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    Normalizer,
    OneHotEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)

from sklearn2rknn.attribute_checks.attributes import Attributes
from sklearn2rknn.attribute_checks.categories import check_categories
from sklearn2rknn.transformers.plain_splines import MOST_DEGREE, plain_spline

_MOST_STEPS = 1 << 10


def _check_bins(step: Attributes, width: int) -> None:
    step.choice("encode", ("onehot", "onehot-dense", "ordinal"))
    edges = step.array("bin_edges_", (width,), "O").tolist()
    for each in edges:
        if not isinstance(each, np.ndarray) or each.dtype.kind != "f" or each.ndim != 1 or len(each) < 2:
            raise step.refuse("bin_edges_", "an array of ascending edges for each feature")
        if not (each[:-1] <= each[1:]).all():
            raise step.refuse("bin_edges_", "edges in ascending order")
    counts = step.array("n_bins_", (width,), "iu")
    if counts.tolist() != [len(each) - 1 for each in edges]:
        raise step.refuse("n_bins_", "the numbers of bins between bin_edges_")
    if step.get("encode") != "ordinal":
        _check_bin_encoder(step, counts.tolist())


def _check_bin_encoder(step: Attributes, counts: list[int]) -> None:
    """Check that each bin is a feature; scikit-learn writes to memory by the encoder's numbers."""
    encoder = Attributes(step.get("_encoder"))
    if (
        type(encoder.instance) is not OneHotEncoder
        or encoder.width() != len(counts)
        or check_categories(encoder, len(counts)) != counts
        or any(encoder.has(key) for key in ("drop_idx_", "_drop_idx_after_grouping"))
        or encoder.get("_infrequent_enabled") is not False
        or encoder.get("_n_features_outs") != counts
    ):
        raise step.refuse("_encoder", "a OneHotEncoder of the bins")
    for each in encoder.get("categories_"):
        if not np.array_equal(each, np.arange(len(each))):
            raise step.refuse("_encoder", "a OneHotEncoder of the bins")


def _check_chi_squared(step: Attributes, width: int) -> None:
    steps = step.count("sample_steps", 1, _MOST_STEPS)
    if step.has("sample_interval") or steps > 3:
        step.number("sample_interval")


def _check_nearest_imputer(step: Attributes, width: int) -> None:
    step.count("n_neighbors")
    step.choice("weights", ("uniform", "distance"))
    step.choice("metric", ("nan_euclidean",))
    step.flag("add_indicator", "keep_empty_features")
    rows = len(step.array("_fit_X", (None, width), "f"))
    mask = step.array("_mask_fit_X", (rows, width), "b")
    if not np.array_equal(step.array("_valid_mask", (width,), "b"), ~mask.all(axis=0)):
        raise step.refuse("_valid_mask", "which columns of _mask_fit_X are not empty")
    if not np.isfinite(step.get("_fit_X")[~mask]).all():
        raise step.refuse("_fit_X", "finite numbers but where _mask_fit_X says otherwise")
    if step.get("add_indicator") and type(step.get("indicator_")) is not MissingIndicator:
        raise step.refuse("indicator_", "a MissingIndicator")


def _check_target_encoder(step: Attributes, width: int) -> None:
    sizes = check_categories(step, width)
    kind = step.choice("target_type_", ("continuous", "binary", "multiclass"))
    classes = step.array("classes_", (None,), "biufOUS") if kind == "multiclass" else [None]
    means = np.atleast_1d(np.asarray(step.get("target_mean_"), dtype=np.float64))
    if means.shape != (len(classes),) or not np.isfinite(means).all():
        raise step.refuse("target_mean_", f"{len(classes)} numbers")
    encodings = step.get("encodings_")
    expected = [size for size in sizes for _ in classes]
    if not isinstance(encodings, list) or len(encodings) != len(expected):
        raise step.refuse("encodings_", f"a list of {len(expected)} arrays")
    for each, size in zip(encodings, expected, strict=True):
        is_numbers = isinstance(each, np.ndarray) and each.dtype.kind == "f" and each.shape == (size,)
        if not is_numbers or not np.isfinite(each).all():
            raise step.refuse("encodings_", "a number for each category")


def _check_polynomials(step: Attributes, width: int) -> None:
    step.flag("interaction_only", "include_bias")
    step.count("_max_degree", step.count("_min_degree", 0))


def _check_power(step: Attributes, width: int) -> None:
    step.choice("method", ("yeo-johnson", "box-cox"))
    step.flag("standardize")
    step.row("lambdas_", width)
    if step.get("standardize") and type(step.get("_scaler")) is not StandardScaler:
        raise step.refuse("_scaler", "a StandardScaler")


def _check_quantiles(step: Attributes, width: int) -> None:
    step.choice("output_distribution", ("uniform", "normal"))
    quantiles = step.array("quantiles_", (None, width), "f")
    references = step.array("references_", (len(quantiles),), "f")
    is_ascending = (quantiles[:-1] <= quantiles[1:]) | np.isnan(quantiles[1:])  # of a column without a value
    if not len(quantiles) or not is_ascending.all():
        raise step.refuse("quantiles_", "numbers in ascending order")
    if not np.array_equal(references, np.linspace(0, 1, len(quantiles))):
        raise step.refuse("references_", "equal steps from 0 to 1")


def _check_splines(step: Attributes, width: int) -> None:
    step.count("degree", 0, MOST_DEGREE)
    step.choice("extrapolation", ("error", "constant", "linear", "continue", "periodic"))
    step.flag("include_bias")
    given = step.get("bsplines_")
    if not isinstance(given, list) or len(given) != width:
        raise step.refuse("bsplines_", f"a list of {width} splines")
    splines = [plain_spline(getattr(each, "__dict__", None)) for each in given]
    sizes = {(each.k, each.c.shape[1]) for each in splines if each is not None}
    if None in splines or len(sizes) != 1 or next(iter(sizes))[0] != step.get("degree"):
        raise step.refuse("bsplines_", "splines of one degree and size with ascending knots")
    outputs = next(iter(sizes))[1]
    if step.get("n_features_out_") != width * (outputs - (0 if step.get("include_bias") else 1)):
        raise step.refuse("n_features_out_", f"the number of splines of {width} features")


Check = Callable[[Attributes, int], object]

CHECKS: dict[type, Check] = {
    AdditiveChi2Sampler: _check_chi_squared,
    Binarizer: lambda step, width: step.number("threshold"),
    KBinsDiscretizer: _check_bins,
    KNNImputer: _check_nearest_imputer,
    Normalizer: lambda step, width: step.choice("norm", ("l1", "l2", "max")),
    PolynomialFeatures: _check_polynomials,
    PowerTransformer: _check_power,
    QuantileTransformer: _check_quantiles,
    SplineTransformer: _check_splines,
    TargetEncoder: _check_target_encoder,
}
"""By class, with the step and its number of features."""
