"""Conversions a second: the isolated warm worker, a cold process for each model, the bare toolkit.

The network is 64-128-128-10, relu, float16, 64 rows a run. The bare calls and the warm worker take turns, so
that what else the machine does meets them alike; the 10th percentile and the processor's time (user and
system, of all processes) say something on a busy machine too. Run it as ``python -m benchmarks.converter``.
"""

from __future__ import annotations

import argparse
import functools
import os
import pickle
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from sklearn2rknn import ConversionOptions, Toolkit, convert, network_from_estimator, onnx_from_network
from sklearn2rknn.options import BATCH_SIZE
from sklearn2rknn.passes.prepare_network import prepare_network
from sklearn2rknn.toolkit.venv import ToolkitEnvironment, ensure_environment

BARE = """
import os, resource, sys, time
from rknn.api import RKNN
os.chdir(sys.argv[1])
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

def processor():
    programs = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + programs.ru_utime + programs.ru_stime

for _ in sys.stdin:
    started, before = time.perf_counter(), processor()
    rknn = RKNN(verbose=False)
    assert rknn.config(target_platform="rk3588") == 0
    assert rknn.load_onnx(model="model.onnx") == 0
    assert rknn.build(do_quantization=False) == 0
    assert rknn.export_rknn("model.rknn") == 0
    rknn.release()
    print(time.perf_counter() - started, processor() - before, file=answers, flush=True)
"""

CONFIG = {"target_platform": "rk3588"}


@attrs.frozen
class Cost:
    """What conversions take: seconds by the clock, and of the processors where that is known."""

    wall: list[float] = attrs.field(factory=list)
    processor: list[float] = attrs.field(factory=list)

    def add(self, wall: float, processor: float | None = None) -> None:
        """Take one conversion more into account."""
        self.wall.append(wall)
        if processor is not None:
            self.processor.append(processor)

    def cells(self, bare: Cost) -> list[str]:
        """Return the table's cells."""
        median, low = statistics.median(self.wall), float(np.percentile(self.wall, 10))
        cells = [f"{1e3 * median:.1f}", f"{1 / median:.1f}", f"{median / statistics.median(bare.wall):.2f}"]
        if self.processor:
            processor, bare_processor = statistics.mean(self.processor), statistics.mean(bare.processor)
            cells += [f"{1e3 * low:.1f}", f"{low / float(np.percentile(bare.wall, 10)):.2f}"]
            cells += [f"{1e3 * processor:.1f}", f"{processor / bare_processor:.2f}"]
        return cells


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
    table = Table("way", "ms, median", "per second", "/ bare", "ms, 10 %", "/ bare", "processor ms", "/ bare")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        network = prepare_network(network_from_estimator(estimator), X, "float16")
        model = onnx_from_network(network, BATCH_SIZE).SerializeToString()
        (folder / "model.pkl").write_bytes(pickle.dumps(estimator))
        (folder / "model.onnx").write_bytes(model)
        with _bare(environment, folder) as bare_once, Toolkit(environment) as toolkit:

            def timed(work: Callable[..., object], *given: Any, **options: Any) -> tuple[float, float]:
                started, before = time.perf_counter(), _processor_seconds(toolkit)
                work(*given, toolkit=toolkit, **options)
                return time.perf_counter() - started, _processor_seconds(toolkit) - before

            unchecked = ConversionOptions(check="off")
            to_file = functools.partial(timed, convert, estimator, folder / "converted.rknn")
            ways: dict[str, Callable[[], tuple[float, float]]] = {
                "bare calls in one process": bare_once,
                "warm worker, build alone": lambda: timed(_build, model),
                "convert, check off": lambda: to_file(options=unchecked),
                "the same, 512 rows given": lambda: to_file(options=unchecked, example_input=X),
                "the same, check on": lambda: to_file(example_input=X),
                "three files, check on": lambda: to_file(example_input=X, batch_size=(64, 1, 256)),
            }
            _build(model, toolkit)  # starts it
            for way in ways.values():  # and warms up
                way()
            costs = {name: Cost() for name in ways}
            for _ in range(options.count):
                for name, way in ways.items():
                    costs[name].add(*way())
            if options.memory:
                before = _resident(toolkit)
                for _ in range(options.memory):
                    _build(model, toolkit)
                after = _resident(toolkit)
                table.caption = f"worker: {before} kB before, {after} kB after {options.memory} conversions"
        with Toolkit(environment, isolation="job") as toolkit:
            fresh = costs["a fresh child for each"] = Cost()
            for _ in range(options.count):
                started = time.perf_counter()
                _build(model, toolkit)
                fresh.add(time.perf_counter() - started)
        if options.cold:
            costs["cold worker for each"] = _cold(environment, model, options.cold)
            costs["cold command line for each"] = _command_line(folder, options.toolkit, options.cold)
        costs["two workers at once"] = _two_workers(environment, model, options.count)
        for name, cost in costs.items():
            table.add_row(name, *cost.cells(costs["bare calls in one process"]))
    console = Console(width=110)
    console.print(table)
    console.print(
        "limit of a checked conversion: 2.0 times the bare calls at the 10th percentile; "
        f"load of the machine {os.getloadavg()[0]:.1f}"
    )


def _build(model: bytes, toolkit: Toolkit) -> None:
    toolkit.build(model, config=CONFIG)


def _times(work: Callable[[], object], count: int) -> Cost:
    """Time what leaves no process behind."""
    cost = Cost()
    for _ in range(count):
        started, before = time.perf_counter(), _spent()
        work()
        cost.add(time.perf_counter() - started, _spent() - before)
    return cost


def _spent() -> float:
    """Return the processor time of this process and of those that it has seen end."""
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + ended.ru_utime + ended.ru_stime


@contextmanager
def _bare(environment: ToolkitEnvironment, folder: Path) -> Iterator[Callable[[], tuple[float, float]]]:
    """Start a process that converts ``model.onnx`` each time it is asked to, and tells what it took."""
    with subprocess.Popen(
        [environment.command[0], "-c", BARE, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        questions, answers = process.stdin, process.stdout
        assert questions is not None
        assert answers is not None

        def once() -> tuple[float, float]:
            print(file=questions, flush=True)
            wall, processor = map(float, answers.readline().split())
            return wall, processor

        yield once


def _cold(environment: ToolkitEnvironment, model: bytes, count: int) -> Cost:
    def once() -> None:
        with Toolkit(environment) as toolkit:
            _build(model, toolkit)

    return _times(once, count)


def _command_line(folder: Path, version: str, count: int) -> Cost:
    command = [sys.executable, "-m", "sklearn2rknn", "model.pkl", "model.rknn"]
    command += ["--toolkit", f"{version}@venv", "--check", "off"]
    return _times(lambda: subprocess.run(command, cwd=folder, capture_output=True, check=True), count)


def _two_workers(environment: ToolkitEnvironment, model: bytes, count: int) -> Cost:
    with Toolkit(environment) as first, Toolkit(environment) as second, ThreadPoolExecutor(2) as pool:
        for toolkit in (first, second):
            _build(model, toolkit)

        def share(toolkit: Toolkit) -> None:
            for _ in range(count):
                _build(model, toolkit)

        started = time.perf_counter()
        list(pool.map(share, (first, second)))
        return Cost([(time.perf_counter() - started) / (2 * count)])


def _processes(toolkit: Toolkit) -> list[int]:
    """Return the worker and its child."""
    assert isinstance(toolkit._process, subprocess.Popen)
    worker = toolkit._process.pid
    return [worker, *map(int, Path(f"/proc/{worker}/task/{worker}/children").read_text().split())]


def _processor_seconds(toolkit: Toolkit) -> float:
    """Return the processor time of this process, the worker and its child."""
    # Linux makes the clock of a process from its id: clock_getcpuclockid(3).
    return time.process_time() + sum(time.clock_gettime(~pid << 3 | 2) for pid in _processes(toolkit))


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
