"""Even kernels for int8: the same function, and a register program that scales all of them well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.neural_network import MLPRegressor

from sklearn2rknn import ConversionOptions, Toolkit, convert
from sklearn2rknn.network.network import Network
from sklearn2rknn.passes import prepare_network
from tests.converter.fitted_pipelines import quietly_fitted

Rows = npt.NDArray[np.float64]


def _with_idle_units(seed: int) -> tuple[Any, Rows]:
    """Two units that these rows switch on, and three of weights 2,000 times theirs that they do not."""
    rng = np.random.default_rng(seed)
    X = rng.uniform(-1, 1, (200, 2))
    model = quietly_fitted(MLPRegressor(hidden_layer_sizes=(5,), max_iter=1), X, X[:, 0])
    model.coefs_[0][:] = rng.uniform(0.5, 1.0, (2, 5)) * [1, 1, 2000, 2000, 2000]
    model.intercepts_[0][:] = [2.0, 3.0, -9000.0, -9000.0, -9000.0]
    model.coefs_[1][:] = rng.uniform(0.5, 1.0, (5, 1))
    return model, X


def _as_they_are(network: Network, rows: Rows, bits: int = 8, then: Any = None) -> Network:
    made: Network = then(network) if then else network
    return made


@pytest.mark.parametrize(("precision", "seed"), [("int8", 0), ("int8", 1), ("int16", 1)])
def test_the_register_program_is_as_right_as_the_simulator(
    tmp_path: Path, toolkit: Toolkit, monkeypatch: Any, precision: str, seed: int
) -> None:
    model, X = _with_idle_units(seed)

    def checked() -> Any:
        options: dict[str, Any] = {"precision": precision, "example_input": X, "toolkit": toolkit}
        return convert(
            model, tmp_path / "m.rknn", options=ConversionOptions(check="warn"), **options
        ).check.to_json()

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
    monkeypatch.setattr(prepare_network, "equalize_kernels", _as_they_are)
    uneven = checked()
    assert uneven["virtual_npu"]["max_error"] >= 2 * even["virtual_npu"]["max_error"]
    assert uneven["virtual_npu"]["bound_share"] <= 1
    assert uneven["bound"] > 2 * even["bound"]
