"""Functions of positive numbers, power transforms and normal quantiles, and their bounds."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from scirknn.errors import InputError
from scirknn.steps.elementwise import FUNCTIONS, Elementwise, Power
from scirknn.steps.norms import ChiSquared
from scirknn.steps.quantiles import Quantiles
from scirknn.steps.step import Step, apply_steps, carry_steps

RANDOM = np.random.default_rng(0)

POSITIVE: dict[str, Step] = {
    **{name: Elementwise(name) for name in FUNCTIONS},
    "box-cox": Power("box-cox", (0.0, 0.5, -2.0), False),
    "chi_squared": ChiSquared(3, 0.4),
}


@pytest.mark.parametrize("name", POSITIVE)
@pytest.mark.parametrize("size", [1e-4, 0.1, 0.9])
def test_the_carried_bound_holds_for_positive_numbers(name: str, size: float) -> None:
    values = RANDOM.gamma(2.0, 1.0, (200, 3))
    error = size * values * RANDOM.random((200, 3))
    here, bound = carry_steps([POSITIVE[name]], values, error)
    there = apply_steps([POSITIVE[name]], values + error * RANDOM.uniform(-1, 1, error.shape))
    assert (np.abs(there - here) <= bound * (1 + 1e-12) + 1e-14).all()


@pytest.mark.parametrize("name", ["log", "sqrt", "reciprocal", "box-cox"])
def test_an_error_that_leaves_the_domain_has_no_bound(name: str) -> None:
    _, bound = carry_steps([POSITIVE[name]], np.ones((1, 3)), np.full((1, 3), 2.0))
    assert np.isinf(bound).all()


def test_normal_quantiles_are_scipys_to_a_few_units() -> None:
    places = np.linspace(0, 1, 2001)[:, None]
    given = Quantiles(np.array([[0.0], [1.0]]), True, False).apply(places)
    expected = special.ndtri(np.clip(places, 1e-7, 1 - 1e-7))
    inside = slice(1, -1)
    np.testing.assert_allclose(given[inside], expected[inside], rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(given[[0, -1]], [[-5.1993], [5.1993]], atol=1e-4)


def test_numbers_that_have_no_logarithm_are_refused() -> None:
    with pytest.raises(InputError, match="strictly positive"):
        Power("box-cox", (1.0,), False).apply(np.zeros((1, 1)))
    with pytest.raises(InputError, match=r"Negative values in data passed to X in AdditiveChi2Sampler\."):
        ChiSquared(1, 0.5).apply(-np.ones((1, 1)))
