"""What the converter's choices are worth on the register program: the tables of converter/ACCURACY.md.

Run it as ``python -m benchmarks.accuracy [scaled] [activations] [tasks]``.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from tests.converter.passes.test_badly_scaled_features import SEEDS, badly_scaled
from tests.standard_tasks.tasks import SAMPLES, Rows, plain, standard_tasks

import scirknn
from sklearn2rknn import (
    ConversionOptions,
    Sklearn2RknnError,
    Toolkit,
    convert,
    network_from_estimator,
    open_toolkit,
)
from sklearn2rknn.checking.agreement import Agreement, agreement


def ours(estimator: Any, X: Rows, toolkit: Toolkit, precision: str = "float16", **options: Any) -> Agreement:
    """Compare what `convert` writes with scikit-learn."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.rknn"
        convert(
            estimator,
            path,
            example_input=X,
            precision=precision,
            batch_size=SAMPLES,
            toolkit=toolkit,
            options=ConversionOptions(check="off", **options),
        )
        with scirknn.load(path, device="virtual") as model:
            outputs = np.asarray(model.raw_output(X), np.float64)
    network = network_from_estimator(estimator)
    return agreement(network, outputs, network.forward(X))


def scaled(console: Console) -> None:
    """Print the 24 badly scaled classifiers."""
    table = Table("toolkit", "conversion", "finite", "all labels right", "labels away from ties, least")
    for version in ("2.2.0", "2.3.0", "2.3.2", "2.5.0"):
        with open_toolkit(version) as toolkit:
            for name, way in (("plain", plain), ("default", ours)):
                finite, right, least = 0, 0, 1.0
                for seed in SEEDS:
                    estimator, X = badly_scaled(seed)
                    found = way(estimator, X, toolkit)
                    finite += bool(np.isfinite(found.max_error))
                    right += found.labels == 1.0
                    least = min(least, 1.0 if found.clear_labels is None else found.clear_labels)
                table.add_row(version, name, f"{finite} of 24", f"{right} of 24", f"{least:.4f}")
    console.print(table)


def tasks(console: Console) -> None:
    """Print labels away from ties, or R2, of twelve tasks."""
    table = Table("task", "float16 plain", "float16", "int16", "int8", "int8 plain")
    with open_toolkit("2.3.2") as toolkit:
        for name, estimator, X in standard_tasks():
            cells = []
            for precision, way in (
                ("float16", plain),
                ("float16", ours),
                ("int16", ours),
                ("int8", ours),
                ("int8", plain),
            ):
                try:
                    found = way(estimator, X, toolkit, precision=precision)
                except Sklearn2RknnError as error:
                    cells.append(type(error).__name__)
                else:
                    r2 = found.r2
                    cells.append(f"R2 {r2:.5f}" if r2 is not None else f"{found.clear_labels:.4f}")
            table.add_row(name, *cells)
    console.print(table)


def activations(console: Console) -> None:
    """Print the largest error of an output, by the form of tanh and logistic."""
    table = Table("task", "largest output", "plain", "refined", "int16")
    with open_toolkit("2.3.2") as toolkit:
        for name, estimator, X in standard_tasks():
            if estimator.activation in ("tanh", "logistic"):
                reference = network_from_estimator(estimator).forward(X)
                errors = [
                    ours(estimator, X, toolkit, activation=form).max_error for form in ("plain", "refined")
                ]
                errors.append(ours(estimator, X, toolkit, precision="int16").max_error)
                table.add_row(name, f"{np.abs(reference).max():.3g}", *(f"{error:.1e}" for error in errors))
    console.print(table)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    tables = {"scaled": scaled, "activations": activations, "tasks": tasks}
    for wanted in sys.argv[1:] or tables:
        tables[wanted](Console(width=110))
