"""Ranges of columns: which are known, and what maps, steps and statistics make of them."""

from __future__ import annotations

import numpy as np
import pytest

from sklearn2rknn.network.ranges import Ranges, sample_bounds

INF = np.inf
THREE = Ranges(np.array([-3.0, 1.0, -INF]), np.array([2.0, 5.0, 4.0]), ("StandardScaler", "PCA", ""))


def test_a_range_is_known_by_both_ends_and_a_table_by_all_its_columns() -> None:
    assert THREE.known.tolist() == [True, True, False]
    assert THREE.largest.tolist() == [3.0, 5.0, INF]
    assert THREE.origin == ""
    assert THREE.select([1, 0]).origin == "PCA, StandardScaler"
    both = Ranges.concatenate([THREE.select([0]), THREE.select([0, 1])])
    assert (both.low.tolist(), both.high.tolist()) == ([-3.0, -3.0, 1.0], [2.0, 2.0, 5.0])
    assert both.origin == "StandardScaler, PCA"
    assert not Ranges.concatenate([]).origin


def test_a_negative_factor_swaps_the_ends() -> None:
    mapped = THREE.map(np.array([1.0, 1.0, 0.0]), np.array([-2.0, 0.5, -1.0]))
    assert (mapped.low.tolist(), mapped.high.tolist()) == ([-2.0, 0.0, -4.0], [8.0, 2.0, INF])


@pytest.mark.parametrize(
    ("low", "high", "is_taken"), [(0, 3, True), (0, 4, False), (0, 9, False), (-INF, 9, False)]
)
def test_of_two_ranges_the_narrower_one_is_taken(low: float, high: float, is_taken: bool) -> None:
    ranges = THREE.select([1]).intersect(np.array([low]), np.array([high]), "MinMaxScaler")
    assert (ranges.low[0], ranges.high[0]) == ((low, high) if is_taken else (1.0, 5.0))
    assert ranges.origins == (("MinMaxScaler",) if is_taken else ("PCA",))
    unknown = Ranges.unknown(1).intersect(np.array([low]), np.array([high]), "MinMaxScaler")
    assert unknown.known[0] == np.isfinite(low)


def test_a_value_widens_a_range_to_either_side() -> None:
    for value, low, high in ((-4.0, [-4.0, -4.0], [2.0, 5.0]), (4.0, [-3.0, 1.0], [4.0, 5.0])):
        wider = THREE.select([0, 1]).include(value)
        assert (wider.low.tolist(), wider.high.tolist()) == (low, high)


def test_one_sample_that_differs_from_all_others_lies_at_the_end_of_its_bounds() -> None:
    samples = np.array([1.0] + [0.0] * 19)
    low, high = sample_bounds(samples.mean(), samples.var(), 20)
    assert high == pytest.approx(1.0)
    assert low == pytest.approx(2 * samples.mean() - 1.0)
