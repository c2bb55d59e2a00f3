"""Estimators beside numpy and scikit-learn: ratios of one run.

An SVC of 6,000 support rows, in both forms of its exponentials, and nearest neighbours among 10,000 rows of
784 columns: the NPU's time is what `virtual_npu.estimate` says of a call. The others are measured on this
machine: what the host does behind the NPU, the same layers in numpy and float32, and scikit-learn's own
``predict``, which does all. Forests have no file for the NPU: a loaded bundle walks their trees in numpy.

Each figure is the median processor time of calls that take turns: that of all threads together, hardly moved
by what else the machine does; one thread where BLAS computes. Run it as ``python -m benchmarks.estimators``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

import scirknn
import sklearn2rknn
import virtual_npu
from scirknn.answers import answer, final_values
from scirknn.arrays import Floats
from scirknn.networks.cpu import compute
from sklearn2rknn import network_from_estimator
from sklearn2rknn.candidates import kernel_forms
from sklearn2rknn.passes.kernel_on_npu import in_form_of

REPEATS = 5
ROWS = (64, 1024)
HEADINGS = (
    "model",
    "MB",
    "conversion, s",
    "rows",
    "NPU, ms (estimate)",
    "host behind it, ms",
    "layers in numpy, ms",
    "scikit-learn, ms",
)

ON_HOST = "SVC, 6,000 x 64, exponentials on the host"
MANY = 1_000_000

FOREST_REPEATS = 15
FOREST_ROWS = (1, 64, 1024)
FORESTS: dict[str, Any] = {
    "random forest, 20 trees of 31 leaves": RandomForestClassifier(20, max_leaf_nodes=31, random_state=0),
    "random forest, 100 trees of 31 leaves": RandomForestClassifier(100, max_leaf_nodes=31, random_state=0),
    "random forest, 100 full trees": RandomForestClassifier(100, random_state=0),
    "gradient boosting, 20 stages": GradientBoostingClassifier(n_estimators=20, random_state=0),
    "histogram boosting, 20 stages": HistGradientBoostingClassifier(max_iter=20, random_state=0),
    "isolation forest, 100 trees": IsolationForest(random_state=0),
}


def medians(calls: tuple[Callable[[], Any], ...], repeats: int) -> list[float]:
    """Return the median processor seconds of each call; the calls take turns."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for taken, call in zip(times, calls, strict=True):
            start = time.process_time()
            call()
            taken.append(time.process_time() - start)
    return [statistics.median(taken) for taken in times]


def models() -> dict[str, tuple[Any, Floats]]:
    """Return fitted models, and rows for each; of labels drawn at random every row supports an SVC."""
    random = np.random.default_rng(0)
    small, large = random.normal(size=(6000, 64)), random.normal(size=(10_000, 784))
    support = SVC(cache_size=500).fit(small, random.integers(0, 2, len(small)))
    rows = random.normal(size=(max(ROWS), 64))
    return {
        ON_HOST: (support, rows),
        "SVC, 6,000 x 64, exponentials on the NPU": (support, rows),
        "5 neighbours, 10,000 x 784": (
            KNeighborsClassifier(algorithm="brute").fit(large, random.integers(0, 10, len(large))),
            random.normal(size=(max(ROWS), 784)),
        ),
    }


def times(model: Any, bundle: scirknn.Bundle, X: Floats) -> list[float]:
    """Return the seconds of the host's steps, of the layers in numpy and of scikit-learn, for rows X."""
    network = in_form_of(network_from_estimator(model), bundle)
    inputs = np.asarray(bundle.expand(X), np.float64)
    outputs = network.forward(X)
    assert bundle.cpu is not None
    layers, prepared = bundle.cpu.read(), bundle.network_input(X).astype(np.float32)

    def in_numpy() -> Any:
        return compute(layers, prepared)

    def on_host() -> Any:
        return answer(bundle, "predict", final_values(bundle, outputs, inputs))

    with threadpool_limits(1):
        return medians((on_host, in_numpy, lambda: model.predict(X)), REPEATS)


def many_training_rows() -> Table:
    """Return the times of models that keep their training rows."""
    table = Table(*HEADINGS)
    with tempfile.TemporaryDirectory() as folder:
        for name, (model, X) in models().items():
            few = MANY if name == ON_HOST else kernel_forms.FEWEST_STORED_ROWS
            with patch.object(kernel_forms, "FEWEST_STORED_ROWS", few):
                report = sklearn2rknn.convert(
                    model, Path(folder, "model.rknn"), example_input=X[:256], batch_size=ROWS
                )
            bundle = scirknn.read_bundle(report.path)
            sizes = {path.name: path.stat().st_size for path in Path(folder).iterdir()}
            for variant, file in bundle.files():
                low, high = virtual_npu.estimate(virtual_npu.read(file.read_bytes())).seconds
                others = times(model, bundle, X[: variant.samples])
                is_first = variant.samples == ROWS[0]
                table.add_row(
                    name if is_first else "",
                    f"{sizes[variant.file] / 1e6:.1f}",
                    f"{report.seconds:.1f}" if is_first else "",
                    str(variant.samples),
                    f"{low * 1e3:.1f} to {high * 1e3:.1f}",
                    *(f"{seconds * 1e3:.1f}" for seconds in others),
                )
    return table


def forests() -> Table:
    """Return the times of forests that predict digits."""
    X, y = load_digits(return_X_y=True)
    table = Table("model", "kB", "rows", "scirknn, ms", "scikit-learn, ms", "times faster")
    with tempfile.TemporaryDirectory() as folder:
        for name, model in FORESTS.items():
            model.fit(X, y)
            report = sklearn2rknn.convert(model, Path(folder, "forest.rknn"), example_input=X)
            with scirknn.load(report.path) as loaded:
                for rows in FOREST_ROWS:
                    calls = partial(loaded.predict, X[:rows]), partial(model.predict, X[:rows])
                    ours, theirs = medians(calls, FOREST_REPEATS)
                    table.add_row(
                        name if rows == FOREST_ROWS[0] else "",
                        f"{sum(report.files.values()) / 1e3:.0f}" if rows == FOREST_ROWS[0] else "",
                        str(rows),
                        f"{ours * 1e3:.2f}",
                        f"{theirs * 1e3:.2f}",
                        f"{theirs / ours:.1f}",
                    )
    return table


def main() -> None:
    """Measure and print."""
    console = Console(width=110)
    for table in (many_training_rows(), forests()):
        console.print(table)


if __name__ == "__main__":
    main()
