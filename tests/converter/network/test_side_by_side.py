"""Layers side by side compute what each network computes alone."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.side_by_side import are_alike, block_layers, with_equal_depths


def drawn(seed: int, widths: tuple[int, ...], activation: str = "relu") -> tuple[Layer, ...]:
    random = np.random.default_rng(seed)
    pairs = list(itertools.pairwise(widths))
    return tuple(
        Layer(
            random.normal(size=pair),
            random.normal(size=pair[1]),
            "identity" if place == len(pairs) - 1 else activation,
        )
        for place, pair in enumerate(pairs)
    )


def forward(layers: tuple[Layer, ...], X: np.ndarray) -> np.ndarray:
    for layer in layers:
        X = layer.forward(X)
    return X


@pytest.mark.parametrize(
    "shapes", [[(3, 2)], [(3, 2), (3, 4)], [(3, 5, 2), (3, 4, 1)], [(3, 2), (3, 5, 2), (3, 4, 6, 5, 1)]]
)
def test_outputs_of_networks_of_any_depth_stand_side_by_side(shapes: list[tuple[int, ...]]) -> None:
    networks = [drawn(seed, shape) for seed, shape in enumerate(shapes)]
    X = np.random.default_rng(9).normal(size=(20, 3))
    assert are_alike(networks)
    layers = block_layers(with_equal_depths(networks))
    expected = np.hstack([forward(each, X) for each in networks])
    np.testing.assert_allclose(forward(layers, X), expected, rtol=1e-12, atol=1e-12)


def test_only_relus_carry_the_outputs_of_a_shallow_network() -> None:
    deep = drawn(0, (3, 4, 4, 1), "tanh")
    assert are_alike([deep, drawn(1, (3, 2, 5, 2), "tanh")])
    assert not are_alike([deep, drawn(1, (3, 2))])
    assert not are_alike([deep, drawn(1, (3, 2, 5, 2))])
