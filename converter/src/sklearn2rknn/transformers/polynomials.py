"""Features that are polynomials of others."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable
from typing import Any

import attrs
import numpy as np
from sklearn.preprocessing import PolynomialFeatures

from scirknn.bundle.limits import MOST_COLUMNS
from scirknn.steps.polynomials import Products
from scirknn.steps.step import Step, carry_steps
from sklearn2rknn.network.ranges import Ranges
from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.refusals import compute, refusal
from sklearn2rknn.transformers.registry import reads


@reads(PolynomialFeatures)
def apply_polynomials(step: Any, table: FeatureTable, named: str) -> FeatureTable:
    """Multiply features with each other, on the host."""
    width, least, degree = table.width, int(step._min_degree), int(step._max_degree)
    degrees = range(max(1, least), degree + 1)
    counts = (
        math.comb(width, each) if step.interaction_only else math.comb(width + each - 1, each)
        for each in degrees
    )
    if degree > MOST_COLUMNS or _passes(counts, MOST_COLUMNS):
        raise refusal(
            named,
            f"more than {MOST_COLUMNS} results",
            "no network takes as many",
            "Fit with a lower degree, with interaction_only=True, or on fewer features.",
        )
    combine = itertools.combinations if step.interaction_only else itertools.combinations_with_replacement
    chosen = [each for count in degrees for each in combine(range(width), count)]
    if step.include_bias:
        chosen = [(), *chosen]
    if not chosen:
        raise refusal(named, "no features", "nothing is left for the network", "Fit with a higher degree.")
    longest = max(1, *(len(each) for each in chosen))
    factors = np.array([(*each, *[width] * (longest - len(each))) for each in chosen], dtype=np.int64)
    products = Products(width, factors)
    computed, ranges = compute(step, table, named, products), _ranges(table, products)
    return computed if ranges is None else attrs.evolve(computed, ranges=ranges)


def _passes(counts: Iterable[int], most: int) -> bool:
    """Whether counts add up to more than `most`; none is taken beyond that."""
    total = 0
    for count in counts:
        total += count
        if total > most:
            return True
    return False


def _ranges(table: FeatureTable, step: Step) -> Ranges | None:
    """Return what a step that takes any number can make of the known ranges of features."""
    if table.weights is not None:
        return None
    known, ranges = table.ranges.known, table.ranges
    centre = np.where(known, (np.where(known, ranges.low, 0.0) + np.where(known, ranges.high, 0.0)) / 2, 0.0)
    reach = np.where(known, np.where(known, ranges.high, 0.0) - centre, np.inf)
    values, error = carry_steps([step], centre[None], reach[None])
    low, high = (values - error)[0], (values + error)[0]
    origin = ", ".join(dict.fromkeys(each for each in ranges.origins if each))
    return Ranges(low, high, tuple(origin if each else "" for each in np.isfinite(low).tolist()))
