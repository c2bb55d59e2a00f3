"""Where a file stores the sums of parts of a layer's products, the bound has a term for each."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scirknn.arrays import Floats
from sklearn2rknn import Toolkit, ToolkitNotInstallableError, open_toolkit
from sklearn2rknn.checking.file_bound import file_bound
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.onnx_graph import input_channels, onnx_from_network, pack, unpack
from sklearn2rknn.passes.float16_pairs import added_outputs, pair_values
from tests.converter.passes.test_toolkit_graph import read_back
from tests.counts import counted
from virtual_npu import RknnFile, VirtualNpu, cut_layers, read

SIGNS = st.sampled_from(["both", "positive"])
"""Of positive products alone a stored sum is as large as the sizes of all of its products together."""


@pytest.fixture(scope="module")
def toolkit() -> Iterator[Toolkit]:
    """Toolkit 2.5.0, which cuts layers of 1,537 inputs and more."""
    try:
        with open_toolkit("2.5.0") as toolkit:
            yield toolkit
    except ToolkitNotInstallableError as error:
        pytest.skip(f"needs rknn-toolkit2 2.5.0: {error}")


def network_of(*layers: Layer) -> Network:
    return Network(
        estimator="MLPRegressor",
        task="regressor",
        head="identity",
        layers=layers,
        classes=None,
        feature_names=None,
        single_output=False,
        dtype="float64",
    )


def built(toolkit: Toolkit, network: Network, X: Floats) -> tuple[RknnFile, Floats]:
    """Return a network's file, and the errors of what the virtual NPU computes from it."""
    runs = pack(network.prepare(X), input_channels(network), len(X))
    model = onnx_from_network(network, len(X)).SerializeToString()
    file = read(toolkit.build(model, config={"target_platform": "rk3588"}).rknn)
    outputs = network.finish(unpack(VirtualNpu(file).run(runs[0])[None], len(X)))
    return file, np.abs(outputs - (network.unpaired or network).forward(X))


def bound(network: Network, X: Floats, file: RknnFile | None = None) -> Floats:
    of_file = file_bound(network.unpaired or network, network, X, file)
    assert of_file is not None
    return of_file


def drawn(rng: np.random.Generator, shape: tuple[int, ...], signs: str) -> Floats:
    values = rng.normal(size=shape)
    return np.abs(values) if signs == "positive" else values


@settings(max_examples=counted(80), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.integers(1537, 2500),
    st.lists(st.integers(1, 9), max_size=2),
    st.sampled_from(["relu", "tanh", "tanh, pairs"]),
    st.tuples(SIGNS, SIGNS),
    st.integers(-9, 4),
    st.integers(0, 2**16),
)
def test_no_output_behind_a_cut_layer_errs_by_more_than_its_bound(
    toolkit: Toolkit,
    width: int,
    others: list[int],
    kind: str,
    signs: tuple[str, str],
    size: int,
    seed: int,
) -> None:
    rng, is_paired = np.random.default_rng(seed), kind.endswith("pairs")
    # Three channels for each feature. Hidden layers of pairs would hand all of them on: slow to build.
    widths = [-(-width // 3) if is_paired else width, *others, 2]
    layers = [
        Layer(drawn(rng, (before, after), signs[0]) / np.sqrt(before), rng.normal(size=after), kind[:4])
        for before, after in pairwise(widths)
    ]
    layers[-1] = Layer(layers[-1].weights, layers[-1].bias, "identity")
    network = network_of(*layers)
    network = pair_values(network) if is_paired else network
    X = drawn(rng, (8, widths[0]), signs[1]) * 2.0**size
    file, errors = built(toolkit, network, X)
    assert cut_layers(file)
    of_file = bound(network, X, file)
    assert (of_file >= bound(network, X)).all()
    assert (errors <= of_file).all()


def halves(count: int) -> tuple[Network, Floats]:
    """Return a layer of which every stored sum loses half a step, always to one side, and its row."""
    weights = np.zeros((count, 1))
    weights[:2, 0], weights[1536::1536] = (2048, 1), 1
    return network_of(Layer(weights, [0.0], "identity")), np.ones((1, count))


def all_positive() -> tuple[Network, Floats]:
    """Return a layer of pairs whose outputs are pairs too: 1,800 channels, all products positive."""
    rng = np.random.default_rng(0)
    weights = np.abs(rng.normal(size=(600, 2)))
    return added_outputs(network_of(Layer(weights, [0.0, 0.0], "identity")), worth=0), rng.random((16, 600))


@pytest.mark.parametrize("case", [halves(9000), all_positive()], ids=["halves", "pairs"])
def test_stored_sums_can_err_by_more_than_all_else(toolkit: Toolkit, case: tuple[Network, Floats]) -> None:
    network, X = case
    file, errors = built(toolkit, network, X)
    assert (errors > bound(network, X)).any()
    assert (errors <= bound(network, X, file)).all()
    # The harness derives the same from the graph.
    graph = read_back(network)
    of_graph = [graph.file_bound(X, files) for files in ([], [file])]
    added = bound(network, X, file) - bound(network, X)
    assert of_graph[0] is not None
    assert of_graph[1] is not None
    np.testing.assert_allclose(of_graph[1] - of_graph[0], added, rtol=1e-4)


def test_a_file_that_stores_no_sums_has_the_bound_of_its_layers_to_the_bit(toolkit: Toolkit) -> None:
    rng = np.random.default_rng(0)
    hidden = Layer(rng.normal(size=(1536, 5)), rng.normal(size=5), "relu")
    network, X = (
        network_of(hidden, Layer(rng.normal(size=(5, 2)), [0.0, 1.0], "identity")),
        rng.normal(size=(9, 1536)),
    )
    file, errors = built(toolkit, network, X)
    assert cut_layers(file) == ()
    np.testing.assert_array_equal(bound(network, X, file), bound(network, X))
    assert (errors <= bound(network, X)).all()


def test_a_stored_sum_that_may_pass_float16_has_no_bound(toolkit: Toolkit) -> None:
    weights = np.repeat([[40.0, 1.0], [-40.0, 1.0]], 1536, axis=0)
    network = network_of(Layer(weights, [0.0, 0.0], "identity"))
    X = np.repeat([[1.0], [2.0]], 4, axis=0) * np.ones(3072)
    file, errors = built(toolkit, network, X)
    of_file = bound(network, X, file)
    assert np.isfinite(bound(network, X)).all()
    np.testing.assert_array_equal(np.isinf(of_file), np.repeat([[False], [True]], 4, axis=0) & [True, True])
    assert (errors[:4] <= of_file[:4]).all()
    assert not np.isfinite(errors[4:, 0]).any()
