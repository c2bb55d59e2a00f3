"""What the converter's choices are worth on the register program: the tables of converter/ACCURACY.md.

Run it as ``python -m benchmarks.accuracy [scaled] [activations] [tasks]``.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.table import Table
from sklearn import datasets
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from tests.converter.test_badly_scaled import SEEDS, badly_scaled

import scirknn
import virtual_npu
from sklearn2rknn import (
    Sklearn2RknnError,
    Toolkit,
    convert,
    network_from_estimator,
    onnx_from_network,
    open_toolkit,
)
from sklearn2rknn.check import agreement
from sklearn2rknn.onnx_graph import input_channels, pack, unpack

SAMPLES = 64
Rows = npt.NDArray[np.float64]


def plain(estimator: Any, X: Rows, toolkit: Toolkit, precision: str = "float16") -> Rows:
    """Return the outputs of the graph as the estimator has it: nothing rescaled, tables as they are."""
    network = network_from_estimator(estimator)
    runs = pack(X, input_channels(network), SAMPLES)
    built = toolkit.build(
        onnx_from_network(network, SAMPLES).SerializeToString(),
        config={"target_platform": "rk3588"},
        calibration=runs[: -(-100 // SAMPLES)] if precision == "int8" else None,
    )
    npu = virtual_npu.VirtualNpu(virtual_npu.read(built.rknn))
    with np.errstate(all="ignore"):
        return unpack(np.stack([npu.run(run) for run in runs]), len(X)).astype(np.float64)


def ours(estimator: Any, X: Rows, toolkit: Toolkit, **options: Any) -> Rows:
    """Return the outputs of what `convert` writes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.rknn"
        convert(estimator, path, example_input=X, batch_size=SAMPLES, check="off", toolkit=toolkit, **options)
        with scirknn.load(path, device="virtual") as model:
            return np.asarray(model.raw_output(X), np.float64)


def scaled(console: Console) -> None:
    """Print the 24 badly scaled classifiers."""
    table = Table("toolkit", "conversion", "finite", "all labels right", "labels away from ties, least")
    for version in ("2.2.0", "2.3.0", "2.3.2", "2.5.0"):
        with open_toolkit(version) as toolkit:
            for name, way in (("plain", plain), ("default", ours)):
                finite, right, least = 0, 0, 1.0
                for seed in SEEDS:
                    estimator, X = badly_scaled(seed)
                    network = network_from_estimator(estimator)
                    outputs = way(estimator, X, toolkit)
                    finite += bool(np.isfinite(outputs).all())
                    found = agreement(network, np.nan_to_num(outputs), network.forward(X))
                    right += found.labels == 1.0
                    least = min(least, 1.0 if found.clear_labels is None else found.clear_labels)
                table.add_row(version, name, f"{finite} of 24", f"{right} of 24", f"{least:.4f}")
    console.print(table)


def models() -> Iterator[tuple[str, Any, Rows]]:
    """Yield twelve tasks, each with its name, the fitted estimator and its rows."""
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


def tasks(console: Console) -> None:
    """Print labels away from ties, or R2, of twelve tasks."""
    table = Table("task", "float16 plain", "float16", "int16", "int8", "int8 plain")
    with open_toolkit("2.3.2") as toolkit:
        for name, estimator, X in models():
            network = network_from_estimator(estimator)
            reference, cells = network.forward(X), []
            for precision, way in (
                ("float16", plain),
                ("float16", ours),
                ("int16", ours),
                ("int8", ours),
                ("int8", plain),
            ):
                try:
                    found = agreement(network, way(estimator, X, toolkit, precision=precision), reference)
                except Sklearn2RknnError as error:
                    cells.append(type(error).__name__)
                else:
                    cells.append(
                        f"R2 {found.r2:.5f}" if found.r2 is not None else f"{found.clear_labels:.4f}"
                    )
            table.add_row(name, *cells)
    console.print(table)


def activations(console: Console) -> None:
    """Print the largest error of an output, by the form of tanh and logistic."""
    table = Table("task", "largest output", "plain", "refined")
    with open_toolkit("2.3.2") as toolkit:
        for name, estimator, X in models():
            if estimator.activation in ("tanh", "logistic"):
                reference = network_from_estimator(estimator).forward(X)
                errors = [
                    np.abs(ours(estimator, X, toolkit, activation=form) - reference).max()
                    for form in ("plain", "refined")
                ]
                table.add_row(name, f"{np.abs(reference).max():.3g}", *(f"{error:.1e}" for error in errors))
    console.print(table)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    tables = {"scaled": scaled, "activations": activations, "tasks": tasks}
    for wanted in sys.argv[1:] or tables:
        tables[wanted](Console(width=110))
