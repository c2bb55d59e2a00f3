"""Conversions a second: the isolated warm worker, a cold process for each model, the bare toolkit.

The network is 64-128-128-10, relu, float16, 64 rows a run. Times are of this machine and this run; only
their ratios say something, and those of processor time (user and system, of both processes) say it on a busy
machine too. Run it as ``python -m benchmarks.converter``.
"""

from __future__ import annotations

import argparse
import pickle
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from sklearn2rknn import Toolkit, convert, network_from_estimator, onnx_from_network
from sklearn2rknn.conditioning import condition
from sklearn2rknn.conversion import SAMPLES
from sklearn2rknn.toolkit_environment import ToolkitEnvironment, VenvWorker, ensure_environment

BARE = """
import os, sys, time
folder, count = sys.argv[1], int(sys.argv[2])
os.chdir(folder)
from rknn.api import RKNN
for _ in range(count):
    started, before = time.perf_counter(), time.process_time()
    rknn = RKNN(verbose=False)
    assert rknn.config(target_platform="rk3588") == 0
    assert rknn.load_onnx(model="model.onnx") == 0
    assert rknn.build(do_quantization=False) == 0
    assert rknn.export_rknn("model.rknn") == 0
    rknn.release()
    print("seconds", time.perf_counter() - started, time.process_time() - before)
"""

CONFIG = {"target_platform": "rk3588"}


@attrs.frozen
class Cost:
    """What one conversion takes: seconds by the clock, and of the processors where that is known."""

    wall: float
    processor: float | None = None


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
    table = Table("way", "ms each, median", "conversions / s", "against bare", "processor ms", "against bare")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = condition(network_from_estimator(estimator), X, "float16")
        model = onnx_from_network(network, SAMPLES).SerializeToString()
        (folder / "model.pkl").write_bytes(pickle.dumps(estimator))
        bare = _bare(environment, folder, model, options.count)
        assert bare.processor is not None

        def row(way: str, cost: Cost) -> None:
            wall, processor = cost.wall, cost.processor
            cells = [f"{1e3 * wall:.1f}", f"{1 / wall:.1f}", f"{wall / bare.wall:.2f}"]
            if processor is not None and bare.processor is not None:
                cells += [f"{1e3 * processor:.1f}", f"{processor / bare.processor:.2f}"]
            table.add_row(way, *cells)

        with Toolkit(environment) as toolkit:

            def converted(**given: Any) -> Cost:
                def once() -> None:
                    convert(estimator, folder / "model.rknn", toolkit=toolkit, **given)

                return _median(once, options.count, toolkit)

            toolkit.build(model, config=CONFIG)  # starts it
            row("bare calls, one process", bare)
            build = _median(lambda: toolkit.build(model, config=CONFIG), options.count, toolkit)
            row("worker, build alone", build)
            row("worker, convert, check off", converted(check="off"))
            row("the same with 512 rows of example", converted(check="off", example_input=X))
            row("the same with the check", converted(check="on", example_input=X))
            if options.memory:
                before = _resident(toolkit)
                for _ in range(options.memory):
                    toolkit.build(model, config=CONFIG)
                after = _resident(toolkit)
                table.caption = f"worker: {before} kB before, {after} kB after {options.memory} conversions"
        with Toolkit(environment, isolation="job") as toolkit:
            toolkit.build(model, config=CONFIG)
            row(
                "worker, a fresh child for each",
                _median(lambda: toolkit.build(model, config=CONFIG), options.count),
            )
        row("cold worker for each", _cold(environment, model, options.cold))
        row("cold command line for each, check off", _command_line(folder, options.toolkit, options.cold))
        row("two workers at once", _two_workers(environment, model, options.count))
    Console(width=110).print(table)


def _median(work: Callable[[], object], count: int, toolkit: Toolkit | None = None) -> Cost:
    seconds = []
    before = time.process_time() + (_worker_seconds(toolkit) if toolkit else 0.0)
    for _ in range(count):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    if toolkit is None:
        return Cost(statistics.median(seconds))
    spent = time.process_time() + _worker_seconds(toolkit) - before
    return Cost(statistics.median(seconds), spent / count)


def _bare(environment: ToolkitEnvironment, folder: Path, model: bytes, count: int) -> Cost:
    (folder / "model.onnx").write_bytes(model)
    command = [environment.command[0], "-c", BARE, str(folder), str(count + 1)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line.split()[1:] for line in done.stdout.splitlines() if line.startswith("seconds")]
    wall, processor = zip(*((float(a), float(b)) for a, b in lines[1:]), strict=True)  # the first warms up
    return Cost(statistics.median(wall), statistics.mean(processor))


def _cold(environment: ToolkitEnvironment, model: bytes, count: int) -> Cost:
    def once() -> None:
        with Toolkit(environment) as toolkit:
            toolkit.build(model, config=CONFIG)

    return _median(once, count)


def _command_line(folder: Path, version: str, count: int) -> Cost:
    command = [
        sys.executable,
        "-m",
        "sklearn2rknn",
        "model.pkl",
        "model.rknn",
        "--toolkit",
        f"{version}@venv",
    ]
    command += ["--check", "off"]
    return _median(lambda: subprocess.run(command, cwd=folder, capture_output=True, check=True), count)


def _two_workers(environment: ToolkitEnvironment, model: bytes, count: int) -> Cost:
    with Toolkit(environment) as first, Toolkit(environment) as second, ThreadPoolExecutor(2) as pool:
        for toolkit in (first, second):
            toolkit.build(model, config=CONFIG)

        def share(toolkit: Toolkit) -> None:
            for _ in range(count):
                toolkit.build(model, config=CONFIG)

        started = time.perf_counter()
        list(pool.map(share, (first, second)))
        return Cost((time.perf_counter() - started) / (2 * count))


def _processes(toolkit: Toolkit) -> list[str]:
    """Return the worker and its child."""
    assert isinstance(toolkit._process, VenvWorker)
    worker = str(toolkit._process.pid)
    return [worker, *Path(f"/proc/{worker}/task/{worker}/children").read_text().split()]


def _worker_seconds(toolkit: Toolkit) -> float:
    """Return the processor time of the worker and its child."""
    fields = (
        Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split() for each in _processes(toolkit)
    )
    return sum(int(each[11]) + int(each[12]) for each in fields) / 100  # user and system, in ticks


def _resident(toolkit: Toolkit) -> int:
    """Return the memory of the worker and its child, kB."""
    return sum(
        int(line.split()[1])
        for each in _processes(toolkit)
        for line in Path(f"/proc/{each}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    )


if __name__ == "__main__":
    main()
