"""Splines of single features, as polynomials between their knots."""

from __future__ import annotations

import copy
from typing import Any

import attrs
import numpy as np
from scipy.interpolate import BSpline
from sklearn.preprocessing import SplineTransformer

from scirknn.arrays import Floats
from scirknn.steps.polynomials import Pieces
from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.plain_splines import plain_spline
from sklearn2rknn.transformers.refusals import compute, refusal
from sklearn2rknn.transformers.registry import reads

_DEGREES_BEYOND = {"constant": 0, "linear": 1}
"""Of the polynomials beyond the knots, whose rounding grows with the distance; others are continued."""

_LARGEST = np.finfo(np.float64).max


@reads(SplineTransformer)
def apply_splines(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Compute B-splines of each feature.

    Each interval's polynomials are those through what the transformer itself gives at as many points.
    """
    if getattr(step, "handle_missing", "error") != "error":
        raise refusal(
            named,
            f"handle_missing={step.handle_missing!r:.60}",
            "what is missing in X has no spline",
            "Put a SimpleImputer in front of it, and fit with handle_missing='error'.",
        )
    if step.degree == 0:
        raise refusal(
            named,
            "degree=0",
            "splines of degree 0 are bins",
            "Fit with degree=1 or more, or take a KBinsDiscretizer with encode='onehot-dense'.",
        )
    plain = copy.copy(step)
    plain.sparse_output, plain.bsplines_ = False, [plain_spline(vars(each)) for each in step.bsplines_]
    return compute(step, table, named, _pieces(plain))


@attrs.frozen(eq=False)
class _Intervals:
    """Where the pieces of one feature's splines begin, and the points that determine them.

    Attributes
    ----------
    edges : numpy.ndarray of float64, shape (pieces - 1,)
    anchors : numpy.ndarray of float64, shape (pieces,)
    halves : numpy.ndarray of float64, shape (pieces,)
        Half of each piece's width, as far as points are taken.
    """

    edges: Floats
    anchors: Floats
    halves: Floats

    @classmethod
    def of(cls, spline: BSpline, *, has_outside: bool) -> _Intervals:
        """Return those between the knots of a spline, and on both sides of them."""
        knots = np.unique(spline.t[spline.k : len(spline.t) - spline.k])
        low, high = knots[0], knots[-1]
        # The greatest knot is a piece of its own: where knots repeat, scipy's splines jump there.
        anchors = np.array([*(knots[:-1] + knots[1:]) / 2, high])
        halves = np.array([*(knots[1:] - knots[:-1]) / 2, 0.0])
        if not has_outside:
            return cls(knots[1:], anchors, halves)
        reach = (high - low) / 2 or max(1.0, abs(low))
        return cls(
            edges=np.array([*knots, np.nextafter(high, np.inf)]),
            anchors=np.array([low - reach, *anchors, high + reach]),
            halves=np.array([reach / 2, *halves, reach / 2]),
        )

    def points(self, degree: int) -> Floats:
        """Return degree + 1 points of each piece, shape (pieces, degree + 1)."""
        return self.anchors[:, None] + self.halves[:, None] * _nodes(degree)


def _nodes(degree: int) -> Floats:
    """Return Chebyshev's points between -1 and 1, all of them inside."""
    return np.asarray(np.cos(np.pi * (np.arange(degree + 1) + 0.5) / (degree + 1)))


def _pieces(step: Any) -> Pieces:
    """Return the polynomials that a transformer gives between and beyond its knots."""
    degree, beyond = int(step.degree), step.extrapolation
    has_outside = beyond not in ("periodic", "error")
    features = [_Intervals.of(each, has_outside=has_outside) for each in step.bsplines_]
    most = max(len(each.anchors) for each in features)
    points = np.stack([_padded(each.points(degree), most) for each in features])
    given = np.asarray(step.transform(points.reshape(len(features), -1).T), dtype=np.float64)
    results = given.reshape(most, degree + 1, len(features), -1).transpose(2, 0, 1, 3)
    local = np.linalg.solve(np.vander(_nodes(degree)), results)
    if beyond in _DEGREES_BEYOND:
        for index, each in enumerate(features):
            local[index, [0, *range(len(each.anchors) - 1, most)], : -1 - _DEGREES_BEYOND[beyond]] = 0.0
    halves = np.stack([_padded(each.halves, most) for each in features])
    unit = np.where(halves > 0, halves, 1.0)[:, :, None, None]
    powers = np.arange(degree, -1, -1)[:, None]
    ends = [(each.t[each.k], each.t[len(each.t) - each.k - 1]) for each in step.bsplines_]
    return Pieces(
        edges=np.stack([_filled(each.edges, most - 1) for each in features]),
        anchors=np.stack([_padded(each.anchors, most) for each in features]),
        coefficients=local / unit**powers,
        beyond="pieces" if has_outside else beyond,
        ends=np.array(ends),
    )


def _padded(values: Floats, length: int) -> Floats:
    """Return values with the last one repeated to a length."""
    return np.concatenate([values, np.repeat(values[-1:], length - len(values), axis=0)])


def _filled(edges: Floats, length: int) -> Floats:
    """Return edges with others behind them that no value reaches."""
    return np.concatenate([edges, np.full(length - len(edges), _LARGEST)])
