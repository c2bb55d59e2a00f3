"""What fit leaves in the transformers that the host computes in front of a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.interpolate import BSpline
from sklearn.kernel_approximation import AdditiveChi2Sampler
from sklearn.preprocessing import (
    Binarizer,
    KBinsDiscretizer,
    Normalizer,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    SplineTransformer,
    StandardScaler,
)

from sklearn2rknn.attribute_checks.attributes import Attributes

__all__ = ["CHECKS", "plain_spline"]

_MOST_DEGREE = 32
_MOST_STEPS = 1 << 10


def _check_binarizer(step: Attributes, width: int) -> None:
    step.number("threshold")


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


def _check_chi_squared(step: Attributes, width: int) -> None:
    steps = step.count("sample_steps", 1, _MOST_STEPS)
    if step.has("sample_interval") or steps > 3:
        step.number("sample_interval")


def _check_normalizer(step: Attributes, width: int) -> None:
    step.choice("norm", ("l1", "l2", "max"))


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
    step.count("degree", 0, _MOST_DEGREE)
    step.choice("extrapolation", ("error", "constant", "linear", "continue", "periodic"))
    step.flag("include_bias")
    splines = step.get("bsplines_")
    if not isinstance(splines, list) or len(splines) != width:
        raise step.refuse("bsplines_", f"a list of {width} splines")
    sizes = {plain_spline(step.instance, each).c.shape for each in splines}
    if len(sizes) != 1:
        raise step.refuse("bsplines_", "splines of one size")
    outputs = next(iter(sizes))[1]
    if step.get("n_features_out_") != width * (outputs - (0 if step.get("include_bias") else 1)):
        raise step.refuse("n_features_out_", f"the number of splines of {width} features")


def plain_spline(step: Any, spline: Any) -> BSpline:
    """Return a transformer's spline, made again by scipy from its numbers.

    Parameters
    ----------
    step : sklearn.preprocessing.SplineTransformer
    spline : scipy.interpolate.BSpline
        Or what a file says of one, with the same attributes.

    Raises
    ------
    UnsupportedModelError
        It is none of the transformer's degree.
    """
    attributes = Attributes(step)
    state = vars(spline) if hasattr(spline, "__dict__") else {}
    knots, weights = (state.get(f"_{name}", state.get(name)) for name in ("t", "c"))
    degree = int(step.degree)
    if not isinstance(knots, np.ndarray) or not isinstance(weights, np.ndarray) or weights.ndim != 2:
        raise attributes.refuse("bsplines_", "splines with knots and coefficients")
    is_plain = knots.dtype.kind == weights.dtype.kind == "f" and knots.ndim == 1
    count = len(knots) - degree - 1
    if (
        not is_plain
        or state.get("k") != degree
        or count < degree + 1
        or len(weights) < count
        or not (np.isfinite(knots).all() and np.isfinite(weights).all() and (np.diff(knots) >= 0).all())
    ):
        raise attributes.refuse("bsplines_", f"splines of degree {degree} with ascending knots")
    # As scikit-learn makes it: the constructor refuses those of a constant feature.
    return BSpline.construct_fast(
        np.ascontiguousarray(knots, np.float64),
        np.ascontiguousarray(weights, np.float64),
        degree,
        extrapolate=bool(state.get("extrapolate")),
    )


CHECKS: dict[type, Callable[[Attributes, int], None]] = {
    AdditiveChi2Sampler: _check_chi_squared,
    Binarizer: _check_binarizer,
    KBinsDiscretizer: _check_bins,
    Normalizer: _check_normalizer,
    PolynomialFeatures: _check_polynomials,
    PowerTransformer: _check_power,
    QuantileTransformer: _check_quantiles,
    SplineTransformer: _check_splines,
}
"""By class, with the step and its number of features."""
