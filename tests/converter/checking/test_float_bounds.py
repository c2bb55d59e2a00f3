"""The bounds of float16 outputs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn2rknn.checking.arithmetic import FLOAT16, FLOAT32, largest_event, stored_error
from sklearn2rknn.checking.float_bounds import output_bound
from sklearn2rknn.network.layer import Layer


def coarse(value: np.float16) -> int:
    return max(int(value.view(np.uint16)) >> 10 & 31, 1) >> 2


@given(seed=st.integers(0, 1 << 30), exponent=st.integers(-24, 14))
def test_no_event_of_the_published_rule_is_larger_than_its_bound(seed: int, exponent: int) -> None:
    rng = np.random.default_rng(seed)
    features = (rng.normal(size=32) * 2.0**exponent).astype(np.float16)
    weights = (rng.normal(size=32) * 2.0 ** -(exponent // 2)).astype(np.float16)
    products = [(a, b) for a, b in zip(features, weights, strict=True) if a and b]
    event = max((2.0 ** (4 * (coarse(a) + coarse(b)) - 44) for a, b in products), default=0.0)
    sizes = np.abs(features.astype(np.float64))[None]
    bound = largest_event(sizes, np.abs(weights.astype(np.float64))[:, None])
    assert event <= bound[0, 0]
    # At most 2^-14 of the product of the largest factors, each taken for 2^-15 at least.
    factors = [max(float(np.abs(each).max()), 2.0**-15) for each in (features, weights)]
    assert bound[0, 0] <= 2.0**-14 * factors[0] * factors[1]


def test_only_float16_sums_have_events() -> None:
    layer = Layer(np.full((32, 1), 0.9), [0.0], "identity")
    rows = np.full((1, 32), 0.9)
    no_events = output_bound([layer], rows, FLOAT16.__class__(FLOAT16.unit, FLOAT16.tiny, 65504.0, {}))
    added = (output_bound([layer], rows, FLOAT16) - no_events)[0, 0]
    # 0.9 has the biased exponent 14; the sum is stored with an error of a part in 2^11.
    assert np.isclose(added, 2.0 ** (4 * (3 + 3) - 44), rtol=2.0**-10)
    assert not FLOAT32.has_events


@pytest.mark.parametrize("error", [0.0, 0.25])
@pytest.mark.parametrize("value", [1 + 2.0**-11, 2 - 2.0**-11, 3.0, 2.0**-25, 3 * 2.0**-25, -1 - 2.0**-11])
def test_an_error_of_what_is_stored_counts_its_rounding_and_little_more(value: float, error: float) -> None:
    bound = float(stored_error(np.array([value]), np.array([error]), FLOAT16)[0])
    moved = value + np.array([-error, error, 0.0])
    assert np.abs(moved.astype(np.float16).astype(np.float64) - value).max() <= bound
    assert bound <= error + 2.0**-24 + 2.0**-11 * (abs(value) + error) * 1.01
