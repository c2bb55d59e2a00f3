"""Twelve tasks: scikit-learn's data sets and generators, and networks fitted to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from sklearn import datasets
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

import virtual_npu
from sklearn2rknn import Toolkit, network_from_estimator, onnx_from_network
from sklearn2rknn.checking.agreement import Agreement, agreement
from sklearn2rknn.network.onnx_graph import input_channels, pack, unpack

SAMPLES = 64
FIRST_ROWS = 100
"""Rows that a plain conversion is calibrated with."""

Rows = npt.NDArray[np.float64]


def standard_tasks() -> Iterator[tuple[str, Any, Rows]]:
    """Yield each task: its name, the fitted estimator and its rows."""
    friedman = datasets.make_friedman1(600, noise=0.5, random_state=0)
    moons = datasets.make_moons(500, noise=0.2, random_state=0)
    blobs = datasets.make_classification(500, 20, n_informative=8, n_classes=4, random_state=0)
    lines = datasets.make_regression(500, 12, noise=1.0, random_state=0)
    classifier: dict[str, Any] = {"max_iter": 150, "random_state": 0}
    regressor: dict[str, Any] = {"solver": "lbfgs", "max_iter": 200, "random_state": 0}
    for name, table, hidden, activation in (
        ("iris", datasets.load_iris(return_X_y=True), (16,), "relu"),
        ("wine", datasets.load_wine(return_X_y=True), (32,), "logistic"),
        ("digits", datasets.load_digits(return_X_y=True), (64, 32), "relu"),
        ("digits", datasets.load_digits(return_X_y=True), (64,), "tanh"),
        ("breast cancer", datasets.load_breast_cancer(return_X_y=True), (50, 50), "tanh"),
        ("moons", moons, (32, 32), "relu"),
        ("classification", blobs, (64,), "logistic"),
    ):
        X = StandardScaler().fit_transform(table[0])
        yield (
            f"{name} {activation}",
            MLPClassifier(hidden, activation=activation, **classifier).fit(X, table[1]),
            X,
        )
    for name, table, hidden, activation in (
        ("diabetes", datasets.load_diabetes(return_X_y=True), (64, 64), "relu"),
        ("diabetes", datasets.load_diabetes(return_X_y=True), (64, 64), "tanh"),
        ("friedman1", friedman, (100,), "tanh"),
        ("friedman1", friedman, (32, 32), "logistic"),
        ("regression", lines, (16,), "identity"),
    ):
        X = StandardScaler().fit_transform(table[0])
        fitted = MLPRegressor(hidden_layer_sizes=hidden, activation=activation, **regressor).fit(X, table[1])
        yield f"{name} {activation}", fitted, X


def plain(estimator: Any, X: Rows, toolkit: Toolkit, precision: str = "float16") -> Agreement:
    """Convert as the first scirknn did, and compare the register program with scikit-learn.

    MatMul and Add, the head on the NPU, nothing rescaled, activations by their tables, the first 100 rows for
    calibration.
    """
    source = network_from_estimator(estimator)
    network = attrs.evolve(source, form="matmul", head_on_npu=source.head in ("softmax", "logistic"))
    channels = input_channels(network)
    built = toolkit.build(
        onnx_from_network(network, SAMPLES).SerializeToString(),
        config={"target_platform": "rk3588"},
        calibration=pack(X[:FIRST_ROWS], channels, SAMPLES, "matmul") if precision == "int8" else None,
    )
    npu = virtual_npu.VirtualNpu(virtual_npu.read(built.rknn))
    with np.errstate(all="ignore"):
        runs = np.stack([npu.run(run) for run in pack(X, channels, SAMPLES, "matmul")])
    outputs = unpack(runs, len(X))
    finite = np.isfinite(outputs).all()
    found = agreement(source, np.nan_to_num(outputs), source.forward(X), behind_head=network.head_on_npu)
    return found if finite else attrs.evolve(found, max_error=np.inf)
