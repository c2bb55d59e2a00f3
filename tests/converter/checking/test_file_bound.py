"""The bound of a built file counts everything between scikit-learn's outputs and the file's."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import attrs
import numpy as np

from sklearn2rknn import network_from_estimator
from sklearn2rknn.checking.arithmetic import FLOAT32, FLOAT64
from sklearn2rknn.checking.file_bound import file_bound
from sklearn2rknn.checking.float_bounds import output_bound
from sklearn2rknn.network.layer import Layer
from tests.converter.fitted import fit
from virtual_npu import RknnFile

ESTIMATOR, X = fit("several outputs", activation="relu")
SOURCE = attrs.evolve(network_from_estimator(ESTIMATOR), dtype="float64")


def test_what_the_passes_leave_out_counts() -> None:
    first, *others = SOURCE.layers
    lesser = Layer(np.where(np.abs(first.weights) < 0.1, 0.0, first.weights), first.bias, first.activation)
    network = attrs.evolve(SOURCE, layers=(lesser, *others))
    left_out = np.abs(network.forward(X) - SOURCE.forward(X))
    bound, of_its_own = file_bound(SOURCE, network, X), file_bound(network, network, X)
    assert bound is not None
    assert of_its_own is not None
    assert left_out.any()
    # Beside it the estimators differ, by roundings of float32 and float64 alone.
    np.testing.assert_allclose(bound, of_its_own + left_out, rtol=1e-4)


def test_the_estimators_own_error_counts() -> None:
    single = attrs.evolve(SOURCE, dtype="float32")
    bound, exact = file_bound(single, SOURCE, X), file_bound(SOURCE, SOURCE, X)
    assert bound is not None
    assert exact is not None
    own = [
        output_bound(SOURCE.layers, X, each, SOURCE.input, SOURCE.output, host=each.unit)
        for each in (FLOAT32, FLOAT64)
    ]
    np.testing.assert_allclose(bound - exact, own[0] - own[1], rtol=1e-6)


def test_there_is_no_bound_where_a_difference_is_no_number() -> None:
    rows = X.astype(np.float64)
    rows[0] = 1e308
    with np.errstate(over="ignore", invalid="ignore"):
        bound = file_bound(SOURCE, SOURCE, rows)
    assert bound is not None
    assert np.isinf(bound[0]).all()
    assert np.isfinite(bound[1:]).all()


def test_a_file_with_other_tensors_than_the_layers_has_no_bound() -> None:
    file = SimpleNamespace(nodes=(), inputs=(), tensors=())
    assert file_bound(SOURCE, SOURCE, X, cast(RknnFile, file)) is None
