"""int16 sums and biases within 32 bits: the same function, and a register program that computes it."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import make_moons
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

from sklearn2rknn import CheckError, Toolkit, convert, network_from_estimator
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network, Reach
from sklearn2rknn.passes import prepare_network
from sklearn2rknn.passes.int16_sums import fit_sums
from tests.converter.fitted import fit

Rows = npt.NDArray[np.float64]


def _uneven(widths: list[int], seed: int) -> tuple[Network, Rows]:
    """A network with units whose weights are small beside their biases, and some with none of the two."""
    rng = np.random.default_rng(seed)
    estimator, _ = fit("several outputs", n_features=widths[0], hidden=(2,), seed=0)
    layers = []
    for i, (n_in, n_out) in enumerate(pairwise(widths)):
        weights = rng.normal(size=(n_in, n_out)) * 10.0 ** rng.integers(-6, 1, n_out)
        bias = rng.normal(size=n_out) * 10.0 ** rng.integers(-1, 2, n_out) * (rng.random(n_out) > 0.2)
        layers.append(Layer(weights, bias, "relu" if i + 2 < len(widths) else "identity"))
    network = attrs.evolve(network_from_estimator(estimator), layers=tuple(layers))
    return network, rng.uniform(-1, 1, (40, widths[0]))


def _power(value: float) -> float:
    """The power of two up to which int16 holds a tensor with this largest value."""
    return float(2.0 ** np.ceil(np.log2(value or 1.0)))


def _weight_step(largest: float) -> float:
    """A kernel's step: with weights up to 1/2 toolkits leave a bit unused."""
    return _power(largest) / 2.0 ** (14 if largest <= 0.5 else 15)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.integers(0, 2**16))
def test_sums_and_biases_fit_and_the_function_stays(widths: list[int], seed: int) -> None:
    network, rows = _uneven(widths, seed)
    fitted = fit_sums(network, rows)
    values = network.activations(rows)
    size = max(float(np.abs(part).max()) for part in values)
    np.testing.assert_allclose(fitted.activations(rows)[-1], values[-1], rtol=1e-6, atol=1e-6 * (1 + size))
    kernels = [np.abs(layer.weights).max(axis=0) for layer in fitted.layers]
    if fitted.idle is not None:
        kernels[0] = np.maximum(kernels[0], fitted.idle)
    results = [fitted.prepare(rows), *fitted.activations(rows)]
    for i, layer in enumerate(fitted.layers):
        step = _power(float(np.abs(results[i]).max())) / 2**15
        end = _power(float(np.abs(results[i + 1]).max()))
        reach = 2.0**31 * step * np.array([_weight_step(largest) for largest in kernels[i]])
        own = slice(widths[i + 1])  # without the unit that is always 0
        assert (np.abs(layer.bias) + end <= reach * (1 + 1e-12))[own].all()
        sums = results[i] @ layer.weights
        held = np.clip(sums, -reach, reach) + layer.bias
        np.testing.assert_allclose(np.clip(held, 0, end), np.clip(sums + layer.bias, 0, end), atol=1e-12)


def test_the_register_program_is_right(tmp_path: Path, toolkit: Toolkit, monkeypatch: Any) -> None:
    """Units with biases far above their weights, which moons need; as they are, the gate refuses."""
    X, y = make_moons(500, noise=0.2, random_state=0)
    X = StandardScaler().fit_transform(X)
    estimator = MLPClassifier((32, 32), max_iter=150, random_state=0).fit(X, y)
    report = convert(estimator, tmp_path / "m.rknn", precision="int16", example_input=X, toolkit=toolkit)
    assert report.check.to_json()["virtual_npu"]["labels"] == 1.0
    monkeypatch.setattr(prepare_network, "fit_sums", lambda network, rows: network)
    with pytest.raises(CheckError):
        convert(estimator, tmp_path / "m.rknn", precision="int16", example_input=X, toolkit=toolkit)


def test_sums_of_the_rows_that_ranges_reach_to_fit_too() -> None:
    network, rows = _uneven([4, 5, 2], 0)
    reached = attrs.evolve(network, reach=Reach(64 * rows, 64.0))
    far, joined, near = (
        fit_sums(reached, rows),
        *(fit_sums(network, each) for each in (np.vstack([rows, 64 * rows]), rows)),
    )
    assert far.idle is not None
    assert joined.idle is not None
    np.testing.assert_array_equal(far.idle, joined.idle)
    assert near.idle is None or (far.idle != near.idle).any()


def test_there_is_room_for_twice_a_bias_that_products_all_but_cancel() -> None:
    estimator, _ = fit("one output", n_features=1000, hidden=(), seed=0)
    layer = Layer(np.full((1000, 1), -0.1), [100.0], "identity")
    network = attrs.evolve(network_from_estimator(estimator), layers=(layer,))
    fitted = fit_sums(network, np.ones((4, 1000)))
    assert fitted.idle is not None
    assert 2.0**31 * 2.0**-15 * _weight_step(float(fitted.idle[0])) >= 2 * 100.0
