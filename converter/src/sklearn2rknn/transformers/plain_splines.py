"""Splines made again from their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.interpolate import BSpline

MOST_DEGREE = 32


def plain_spline(attributes: Any) -> BSpline | None:
    """Return a spline that scipy makes of another's attributes.

    Parameters
    ----------
    attributes : mapping of str
        Of a `scipy.interpolate.BSpline` as a SplineTransformer holds it, maybe from a file: knots ``t``,
        coefficients ``c`` (in newer scipy ``_t`` and ``_c``), degree ``k`` and ``extrapolate``.

    Returns
    -------
    scipy.interpolate.BSpline or None
        None where these are no ascending knots with a row of coefficients for each spline.
    """
    if not isinstance(attributes, Mapping):
        return None
    knots, weights = (attributes.get(f"_{name}", attributes.get(name)) for name in ("t", "c"))
    degree, extrapolate = attributes.get("k"), attributes.get("extrapolate")
    if not isinstance(degree, (int, np.integer)) or not 0 <= degree <= MOST_DEGREE:
        return None
    if not _is_table(knots, 1) or not _is_table(weights, 2) or not isinstance(extrapolate, (bool, np.bool_)):
        return None
    count = len(knots) - int(degree) - 1
    if not degree < count <= len(weights) or not weights.shape[1] or not (np.diff(knots) >= 0).all():
        return None
    # As scikit-learn makes it: the constructor refuses the splines of a constant feature.
    return BSpline.construct_fast(
        np.ascontiguousarray(knots, dtype=np.float64),
        np.ascontiguousarray(weights, dtype=np.float64),
        int(degree),
        extrapolate=bool(extrapolate),
    )


def _is_table(values: Any, dimensions: int) -> bool:
    is_floats = isinstance(values, np.ndarray) and values.dtype.kind == "f"
    return is_floats and values.ndim == dimensions and bool(np.isfinite(values).all())
