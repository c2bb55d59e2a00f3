"""Time, memory and file size by the size of the network and by the rows of a call.

Networks are converted in float16 with the check of 64 random rows, each in a process of its own, whose peak
memory and the toolkit's are stated; processor time is of both, with the start of the toolkit. The last two
are too large: an error's first line says which limit ends it. Rows pass the runtime with a stand-in for
rknnlite that answers at once, so that what is left is the host's. Run it as ``python -m benchmarks.scale``;
the largest network takes 7 GB of memory.
"""

from __future__ import annotations

import argparse
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.runtime.many_rows import Lite, stand_in
from rich.console import Console
from rich.table import Table
from sklearn.neural_network import MLPClassifier, MLPRegressor

import scirknn
import sklearn2rknn

NETWORKS = (
    (64, 128, 128, 10),
    (784, 512, 256, 10),
    (2048, 2048, 1000),
    (4096, 4096, 1000),
    (8192, 8192, 1000),
    (65536, 8, 3),
)
TOO_LARGE = (((65537, 8, 3), 64), ((64, 128, 10), 2048))
"""Widths and rows of a run."""

OF_NETWORKS = ("s", "processor s", "MB, converter", "MB, toolkit", "files, MB", "estimate, ms")

ROWS = tuple(10**power for power in range(8))
OF_ROWS = ("s", "processor ns a row", "MB, peak", "MB, rows and answers")
INPUTS = 8


class InstantLite(Lite):
    """rknnlite that answers zeros at once."""

    def inference(self, inputs: list[Any]) -> list[Any]:
        """Answer zeros."""
        return [np.zeros((1, 3, inputs[0].shape[1], 1), np.float32)]


def main() -> None:
    """Measure and print, or be the process of one measurement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seconds", type=float, default=300.0, help="after which a measurement is ended")
    parser.add_argument("--only", help="a measurement in JSON; for the processes that this program starts")
    options = parser.parse_args()
    if options.only:
        kind, argument = json.loads(options.only)
        print(json.dumps(_convert(*argument) if kind == "network" else _predict(argument)))
        return
    table = Table("network", "rows a run", "weights", *OF_NETWORKS, "")
    for widths, rows in (*((widths, 64) for widths in NETWORKS), *TOO_LARGE):
        weights = sum(a * b for a, b in itertools.pairwise(widths))
        name, result = "-".join(map(str, widths)), _measure("network", [widths, rows], options.seconds)
        table.add_row(name, str(rows), f"{weights:,}", *_cells(result, OF_NETWORKS))
    Console(width=160).print(table)
    table = Table("rows", *OF_ROWS, "")
    for rows in ROWS:
        table.add_row(f"{rows:,}", *_cells(_measure("rows", rows, options.seconds), OF_ROWS))
    Console(width=160).print(table)


def _measure(kind: str, argument: Any, seconds: float) -> dict[str, Any]:
    print(kind, argument, file=sys.stderr, flush=True)
    command = [sys.executable, "-m", "benchmarks.scale", "--only", json.dumps([kind, argument])]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired:
        return {"error": f"ended after {seconds:g} s"}
    if run.returncode:
        return {"error": next(iter(run.stderr.strip().splitlines()[-1:]), f"exit code {run.returncode}")}
    result: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    print(result, file=sys.stderr, flush=True)
    return result


def _cells(result: dict[str, Any], names: Iterable[str]) -> list[str]:
    cells = [str(result.get(name, "")) for name in names]
    return [*cells, str(result.get("error", ""))]


def _network(widths: tuple[int, ...]) -> MLPRegressor:
    """Return a network of drawn weights, of the scale that training begins with."""
    random = np.random.default_rng(0)
    estimator = MLPRegressor(hidden_layer_sizes=(1,), max_iter=1).fit(np.zeros((2, 1)), np.zeros(2))
    pairs = list(itertools.pairwise(widths))
    estimator.coefs_ = [random.standard_normal(pair, np.float32) / np.sqrt(pair[0]) for pair in pairs]
    estimator.intercepts_ = [np.zeros(width, np.float32) for width in widths[1:]]
    estimator.hidden_layer_sizes, estimator.n_layers_ = widths[1:-1], len(widths)
    estimator.n_features_in_, estimator.n_outputs_ = widths[0], widths[-1]
    return estimator


def _convert(widths: tuple[int, ...], rows: int) -> dict[str, Any]:
    warnings.simplefilter("ignore")
    estimator = _network(widths)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.rknn")
        with sklearn2rknn.open_toolkit() as toolkit:
            sklearn2rknn.convert(_network((8, 8, 8)), path, toolkit=toolkit)  # starts it
            started, spent = time.perf_counter(), time.process_time()
            try:
                options = sklearn2rknn.ConversionOptions(check="warn")
                report = sklearn2rknn.convert(
                    estimator, path, batch_size=rows, toolkit=toolkit, options=options
                )
            except sklearn2rknn.Sklearn2RknnError as error:
                return {"s": _seconds(started), "error": str(error).splitlines()[0]}
            seconds, spent = _seconds(started), time.process_time() - spent
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    low, high = report.estimate or (0.0, 0.0)
    return {
        "s": seconds,
        "processor s": f"{spent + ended.ru_utime + ended.ru_stime:.3g}",
        "MB, converter": _peak(),
        "MB, toolkit": round(ended.ru_maxrss / 1000),
        "files, MB": round(sum(report.files.values()) / 1e6, 2),
        "estimate, ms": f"{1e3 * low:.2g} to {1e3 * high:.2g}",
    }


def _predict(rows: int) -> dict[str, Any]:
    stand_in(InstantLite)
    random = np.random.default_rng(0)
    X = random.standard_normal((rows, INPUTS), np.float32)
    few = random.standard_normal((64, INPUTS))
    estimator = MLPClassifier((16,), max_iter=5).fit(few, np.arange(64) % 3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.rknn")
        options = sklearn2rknn.ConversionOptions(check="off")
        sklearn2rknn.convert(estimator, path, batch_size=(64, 1, 1024), options=options)
        with scirknn.load(path, device="npu") as model:
            model.predict(X[:1])
            started, spent = time.perf_counter(), time.process_time()
            labels = model.predict(X)
            seconds, spent = time.perf_counter() - started, time.process_time() - spent
    return {
        "s": f"{seconds:.3g}",
        "processor ns a row": f"{1e9 * spent / rows:,.0f}",
        "MB, peak": _peak(),
        "MB, rows and answers": f"{(X.nbytes + labels.nbytes) / 1e6:.3g}",
    }


def _seconds(started: float) -> str:
    return f"{time.perf_counter() - started:.2g}"


def _peak() -> int:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


if __name__ == "__main__":
    main()
