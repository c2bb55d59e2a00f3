"""Models of many training rows: the NPU's estimate beside numpy and scikit-learn, in one run.

An SVC of 6,000 support rows and nearest neighbours among 10,000 rows of 784 columns. The NPU's time is what
`virtual_npu.estimate` says of a call. The others are measured on this machine: what the host does behind the
NPU, the same layer in numpy and float32, and scikit-learn's own ``predict``, which does all. They are medians
of `REPEATS` calls in turns, in processor time of one thread, hardly moved by what else the machine does.
Run it as ``python -m benchmarks.estimators``.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.forests import medians
from rich.console import Console
from rich.table import Table
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

import scirknn
import sklearn2rknn
import virtual_npu
from scirknn.answers import answer, final_values
from scirknn.arrays import Floats
from sklearn2rknn import network_from_estimator

REPEATS = 5
ROWS = (64, 1024)
HEADINGS = (
    "model",
    "MB",
    "conversion, s",
    "rows",
    "NPU, ms (estimate)",
    "host behind it, ms",
    "layer in numpy, ms",
    "scikit-learn, ms",
)


def models() -> dict[str, tuple[Any, Floats]]:
    """Return fitted models, and rows for each; of labels drawn at random every row supports an SVC."""
    random = np.random.default_rng(0)
    small, large = random.normal(size=(6000, 64)), random.normal(size=(10_000, 784))
    return {
        "SVC, 6,000 x 64": (
            SVC(cache_size=500).fit(small, random.integers(0, 2, len(small))),
            random.normal(size=(max(ROWS), 64)),
        ),
        "5 neighbours, 10,000 x 784": (
            KNeighborsClassifier(algorithm="brute").fit(large, random.integers(0, 10, len(large))),
            random.normal(size=(max(ROWS), 784)),
        ),
    }


def times(model: Any, bundle: scirknn.Bundle, X: Floats) -> list[float]:
    """Return the seconds of the host's steps, of the layers in numpy and of scikit-learn, for rows X."""
    network = network_from_estimator(model)
    inputs = np.asarray(bundle.expand(X), np.float64)
    outputs = network.forward(X)
    layers = [(layer.weights.astype(np.float32), layer.bias.astype(np.float32)) for layer in network.layers]
    prepared = network.prepare(X).astype(np.float32)

    def in_numpy() -> Any:
        values = prepared
        for weights, bias in layers:
            values = values @ weights + bias
        return values

    def on_host() -> Any:
        return answer(bundle, "predict", final_values(bundle, outputs, inputs))

    with threadpool_limits(1):
        return medians((on_host, in_numpy, lambda: model.predict(X)), REPEATS)


def main() -> None:
    """Measure and print."""
    table = Table(*HEADINGS)
    with tempfile.TemporaryDirectory() as folder:
        for name, (model, X) in models().items():
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
    Console().print(table)


if __name__ == "__main__":
    main()
