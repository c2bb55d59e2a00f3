"""Conversions a second: the isolated warm worker, a cold process for each model, the bare toolkit.

The network is 64-128-128-10, relu, float16. Times are of this machine and this run; only their ratios say
something. Run it as ``python -m benchmarks.converter``.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from sklearn2rknn import Toolkit, convert, network_from_estimator, onnx_from_network
from sklearn2rknn.conditioning import condition
from sklearn2rknn.toolkit_environment import ToolkitEnvironment, VenvWorker, ensure_environment

BARE = """
import os, sys, time
folder, count = sys.argv[1], int(sys.argv[2])
os.chdir(folder)
from rknn.api import RKNN
for _ in range(count):
    started = time.perf_counter()
    rknn = RKNN(verbose=False)
    assert rknn.config(target_platform="rk3588") == 0
    assert rknn.load_onnx(model="model.onnx") == 0
    assert rknn.build(do_quantization=False) == 0
    assert rknn.export_rknn("model.rknn") == 0
    rknn.release()
    print("seconds", time.perf_counter() - started)
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--toolkit", default="2.3.2")
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--cold", type=int, default=3)
    parser.add_argument("--memory", type=int, default=0, help="conversions to watch the worker's memory over")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    X = rng.standard_normal((512, 64))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator = MLPClassifier((128, 128), max_iter=3, random_state=0).fit(X, rng.integers(0, 10, 512))
    environment = ensure_environment(options.toolkit)
    table = Table("way", "ms each, median", "conversions / s", "against bare")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = condition(network_from_estimator(estimator), X, "float16")
        model = onnx_from_network(network, 1).SerializeToString()
        bare = _bare(environment, folder, model, options.count)

        def row(way: str, seconds: float) -> None:
            table.add_row(way, f"{1e3 * seconds:.1f}", f"{1 / seconds:.1f}", f"{seconds / bare:.2f}")

        with Toolkit(environment) as toolkit:

            def converted(check: str) -> float:
                return _median(
                    lambda: convert(
                        estimator, folder / "model.rknn", example_input=X, check=check, toolkit=toolkit
                    ),
                    options.count,
                )

            config = {"target_platform": "rk3588"}
            toolkit.build(model, config=config)  # starts it
            row("bare calls, one process", bare)
            row("worker, build alone", _median(lambda: toolkit.build(model, config=config), options.count))
            row("worker, convert, check off", converted("off"))
            row("worker, convert, check on", converted("on"))
            if options.memory:
                before = _resident(toolkit)
                for _ in range(options.memory):
                    toolkit.build(model, config=config)
                after = _resident(toolkit)
                table.caption = f"worker: {before} kB before, {after} kB after {options.memory} conversions"
        row("cold process for each", _cold(environment, folder, model, options.cold))
        row("two workers at once", _two_workers(environment, model, options.count))
    Console().print(table)


def _median(work: Callable[[], object], count: int) -> float:
    seconds = []
    for _ in range(count):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _bare(environment: ToolkitEnvironment, folder: Path, model: bytes, count: int) -> float:
    (folder / "model.onnx").write_bytes(model)
    command = [environment.command[0], "-c", BARE, str(folder), str(count)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds = [float(line.split()[1]) for line in done.stdout.splitlines() if line.startswith("seconds")]
    return statistics.median(seconds[1:])  # the first one warms up


def _cold(environment: ToolkitEnvironment, folder: Path, model: bytes, count: int) -> float:
    def once() -> None:
        with Toolkit(environment) as toolkit:
            toolkit.build(model, config={"target_platform": "rk3588"})

    return _median(once, count)


def _two_workers(environment: ToolkitEnvironment, model: bytes, count: int) -> float:
    config = {"target_platform": "rk3588"}
    with Toolkit(environment) as first, Toolkit(environment) as second, ThreadPoolExecutor(2) as pool:
        for toolkit in (first, second):
            toolkit.build(model, config=config)
        started = time.perf_counter()
        list(pool.map(lambda i: (first, second)[i % 2].build(model, config=config), range(2 * count)))
        return (time.perf_counter() - started) / (2 * count)


def _resident(toolkit: Toolkit) -> int:
    """Return the memory of the worker and its child, kB."""
    assert isinstance(toolkit._process, VenvWorker)
    worker = toolkit._process.pid
    children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    return sum(
        int(line.split()[1])
        for process in (worker, *children)
        for line in Path(f"/proc/{process}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )


if __name__ == "__main__":
    main()
