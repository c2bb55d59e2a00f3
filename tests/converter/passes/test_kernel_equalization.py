"""Even kernels for int8: the same function, and a register program that scales all of them well."""

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
from sklearn.neural_network import MLPRegressor

from sklearn2rknn import Toolkit, convert, network_from_estimator
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.passes import prepare_network
from sklearn2rknn.passes.kernel_equalization import even_kernels
from tests.converter.fitted import fit
from tests.converter.fitted_pipelines import quietly_fitted

Rows = npt.NDArray[np.float64]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=2, max_size=5), st.integers(0, 2**16))
def test_the_function_stays(widths: list[int], seed: int) -> None:
    rng = np.random.default_rng(seed)
    estimator, _ = fit("several outputs", n_features=widths[0], hidden=(2,), seed=0)
    layers = []
    for i, (n_in, n_out) in enumerate(pairwise(widths)):
        weights = rng.normal(size=(n_in, n_out)) * 10.0 ** rng.integers(-4, 3, n_out)
        bias = rng.normal(size=n_out) * 10.0 ** rng.integers(-1, 3, n_out)
        layers.append(Layer(weights, bias, "relu" if i + 2 < len(widths) else "identity"))
    network = attrs.evolve(network_from_estimator(estimator), layers=tuple(layers))
    rows = rng.uniform(-1, 1, (40, widths[0]))
    wanted, found = (each.activations(rows)[-1] for each in (network, even_kernels(network, rows)))
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9 * (1 + np.abs(wanted).max()))


def _with_idle_units(seed: int) -> tuple[Any, Rows]:
    """Two units that these rows switch on, and three of weights 2,000 times theirs that they do not."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (200, 2))
    model = quietly_fitted(MLPRegressor(hidden_layer_sizes=(5,), max_iter=1), X, X[:, 0])
    model.coefs_[0][:] = rng.uniform(0.5, 1.0, (2, 5)) * [1, 1, 2000, 2000, 2000]
    model.intercepts_[0][:] = [2.0, 3.0, -9000.0, -9000.0, -9000.0]
    model.coefs_[1][:] = rng.uniform(0.5, 1.0, (5, 1))
    return model, X


def _as_they_are(network: Network, rows: Rows, bits: int = 8, finish: Any = None) -> Network:
    made: Network = finish(network) if finish else network
    return made


@pytest.mark.parametrize(("precision", "seed"), [("int8", 0), ("int8", 1), ("int16", 0)])
def test_the_register_program_is_as_right_as_the_simulator(
    tmp_path: Path, toolkit: Toolkit, monkeypatch: Any, precision: str, seed: int
) -> None:
    model, X = _with_idle_units(seed)

    def checked() -> Any:
        options: dict[str, Any] = {"precision": precision, "example_input": X, "toolkit": toolkit}
        return convert(model, tmp_path / "m.rknn", check="warn", **options).check

    step = 2 * np.abs(model.predict(X)).max() / 255
    with_room = checked()
    # Room beyond the example makes the results' steps coarser, and what is seen of the kernels' factors less.
    monkeypatch.setattr(prepare_network, "with_reach", lambda network, rows, times: network)
    even = checked()
    assert with_room["bound"] <= even["bound"]
    assert even["virtual_npu"]["bound_share"] <= 1
    assert even["virtual_npu"]["max_error"] <= even["simulator"]["max_error"] + step
    # Left as they are, factors of 8 in place of 8.2 or so: half of an eighth of the output at worst. The
    # bound knows of it, the simulator does not. In int16 the steps are powers of two, and so uneven the same.
    monkeypatch.setattr(prepare_network, "even_kernels", _as_they_are)
    uneven = checked()
    assert uneven["virtual_npu"]["max_error"] >= 2 * even["virtual_npu"]["max_error"]
    assert uneven["virtual_npu"]["bound_share"] <= 1
    assert uneven["bound"] > 2 * even["bound"]
