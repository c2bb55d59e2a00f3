"""tanh and logistic in int16: halves that add up to them, and a register program that has their tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings

import scirknn
import virtual_npu
from scirknn.bundle import read_bundle
from sklearn2rknn import Toolkit, convert, network_from_estimator, open_toolkit
from sklearn2rknn.network.layer import CLIPPED_TANH, TANH_CHANNELS, TANH_PAIRS_ERROR, Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.passes.int16_sums import fit_sums
from sklearn2rknn.passes.int16_tanh import clipped_tanh_pairs
from tests.converter.fitted import fit, mixtures
from tests.converter.network.test_onnx_graph import run


def _single(activation: str) -> Network:
    """One unit that takes its input as it is, and gives its result as it is."""
    estimator, _ = fit("one output", n_features=1, hidden=(1,))
    layers = (Layer(np.eye(1), np.zeros(1), activation), Layer(np.eye(1), np.zeros(1), "identity"))
    return attrs.evolve(network_from_estimator(estimator), layers=layers)


@pytest.mark.parametrize(("activation", "share"), [("tanh", 1.0), ("logistic", 0.5)])
def test_halves_add_up(activation: str, share: float) -> None:
    network = _single(activation)
    halved = clipped_tanh_pairs(network)
    assert [layer.activation for layer in halved.layers] == [CLIPPED_TANH, "identity"]
    assert len(halved.layers[0].bias) == TANH_CHANNELS
    X = np.linspace(-40, 40, 80_001)[:, None]
    missed = np.abs(halved.forward(X) - network.forward(X)).max()
    assert 0.5 * share * TANH_PAIRS_ERROR < missed <= share * TANH_PAIRS_ERROR


@settings(max_examples=40, deadline=None)
@given(mixtures())
def test_mixtures_stay_close(drawn: tuple[Network, npt.NDArray[Any]]) -> None:
    network, X = drawn
    halved = fit_sums(clipped_tanh_pairs(network), X)
    gains, error = [np.abs(layer.weights).sum(axis=0).max() for layer in network.layers], 0.0
    for gain in gains[1:]:  # every slope is 1 at most
        error = (error + 1.0) * gain
    tolerance = TANH_PAIRS_ERROR * (1 + error)
    np.testing.assert_allclose(halved.forward(X), network.forward(X), rtol=1e-6, atol=tolerance)
    # float32: as in test_onnx_graph.
    np.testing.assert_allclose(run(halved, X, 7), halved.forward(X), rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("version", ["2.2.0", "2.3.0", "2.3.2", "2.5.0"])
def test_register_program_is_right(tmp_path: Path, version: str) -> None:
    path = tmp_path / "model.rknn"
    with open_toolkit(version) as toolkit:
        for kind, activation in (("softmax", "tanh"), ("several outputs", "logistic")):
            estimator, X = fit(kind, hidden=(9, 6), activation=activation)
            report = convert(
                estimator, path, precision="int16", example_input=X, batch_size=(1, 2, 64), toolkit=toolkit
            )
            assert (report.placement["npu"], report.placement["cpu"]) == (5, 0)
            assert "clipped: 4 tasks and 4 channels a unit" in report.details()
            reference = network_from_estimator(estimator).forward(X)
            with scirknn.load(path, device="virtual") as model:
                for rows in (1, 2, len(X)):  # of each of the files
                    # 3e-4 an activation, through weights of norm below 3; measured 3e-4.
                    found = model.raw_output(X[:rows])
                    np.testing.assert_allclose(found, reference[:rows], atol=2e-3)
            for _, data in read_bundle(path).files():
                file = virtual_npu.read(data)
                # Table and lookup for each of two layers, and three convolutions.
                assert len(file.tasks(1)[0]) == 7
                row = np.random.default_rng(0).normal(size=file.inputs[0].shape)
                outputs = [virtual_npu.VirtualNpu(file, cores).run(row) for cores in (1, 2, 3)]
                np.testing.assert_array_equal(outputs[1:], outputs[:1] * 2)


@pytest.mark.parametrize("hidden", [(1,), (3, 1, 5), (9, 16)])
@pytest.mark.parametrize("samples", [1, 7])
def test_narrow_layers(tmp_path: Path, toolkit: Toolkit, hidden: tuple[int, ...], samples: int) -> None:
    estimator, X = fit("several outputs", n_features=1, hidden=hidden, activation="tanh")
    path = tmp_path / "model.rknn"
    convert(estimator, path, precision="int16", example_input=X, batch_size=samples, toolkit=toolkit)
    with scirknn.load(path, device="virtual") as model:
        np.testing.assert_allclose(
            model.raw_output(X), network_from_estimator(estimator).forward(X), atol=6 * 3e-4
        )


@pytest.mark.parametrize("size", [1e-4, 1e-6])
def test_outputs_that_hardly_vary_keep_their_values(tmp_path: Path, toolkit: Toolkit, size: float) -> None:
    """Spread over int16's range they would take weights beyond it."""
    estimator, X = fit("softmax", hidden=(9, 6), activation="logistic")
    estimator.coefs_[0] *= size
    path = tmp_path / "model.rknn"
    convert(estimator, path, precision="int16", example_input=X, toolkit=toolkit)
    with scirknn.load(path, device="virtual") as model:
        np.testing.assert_allclose(
            model.raw_output(X), network_from_estimator(estimator).forward(X), atol=6 * 3e-4
        )


def test_large_sums_of_small_weights_keep_their_values(tmp_path: Path, toolkit: Toolkit) -> None:
    """The limit, taken for an integer, must not come before 3.016: the rests' biases see to it."""
    rng = np.random.default_rng(0)
    estimator, _ = fit("several outputs", n_features=60, hidden=(8,), activation="tanh")
    estimator.coefs_[0] = rng.choice([-0.1, 0.1], (60, 8))
    estimator.intercepts_[0][:] = 0.0
    extremes = np.sign(estimator.coefs_[0].T)
    X = np.vstack([rng.uniform(-1, 1, (100, 60)), extremes, -extremes])
    path = tmp_path / "model.rknn"
    convert(estimator, path, precision="int16", example_input=X, toolkit=toolkit)
    with scirknn.load(path, device="virtual") as model:
        np.testing.assert_allclose(
            model.raw_output(X), network_from_estimator(estimator).forward(X), atol=3 * 3e-4
        )
