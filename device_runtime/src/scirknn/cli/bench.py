"""``scirknn bench``: how fast a model is on this machine, and what NPU and CPU cost here."""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial
from typing import Any, Callable, Iterable

import numpy as np

from scirknn.arrays import Array
from scirknn.bundle.contents import Bundle, CpuLayer
from scirknn.bundle.files import read_bundle
from scirknn.cli.table_files import read_blocks
from scirknn.devices.session import choose_device
from scirknn.errors import InputError
from scirknn.estimators.load import open_bundle
from scirknn.estimators.methods import Methods
from scirknn.networks.costs import (
    CPU_COSTS,
    NPU_COSTS,
    Costs,
    break_even,
    cpu_work,
    fit,
    npu_work,
    write_costs,
)
from scirknn.networks.cpu import compute
from scirknn.text import printable

BENCH = """\
examples:
  python3 -m scirknn bench iris.rknn                           on one core, on all, and on the CPU beside them
  python3 -m scirknn bench iris.rknn --core 0 --input X.npy    with rows of your own, on core 0
  python3 -m scirknn bench iris.rknn --calibrate               once for a board: device='auto' decides by it

Times are those of predict, the host's work included: the median, and what nine of ten calls take at most.
With the emulator they say nothing of an NPU.
"""

DRAWN = ((16, 32, 2), (64, 128, 128, 10), (784, 512, 256, 10))
"""Widths of the networks by which the CPU's layers are measured."""

DRAWN_ROWS = (1, 8, 64, 1024)

_MOST_ROWS = 1 << 20
_MOST_SECONDS = 3600

_TITLES = {"npu": "NPU", "cpu": "CPU", "virtual": "emulator: no NPU speeds", "auto": "NPU or CPU"}

Clock = Callable[[], float]


def row_count(text: str) -> int:
    """Read an argument that is a number of rows, or refuse it."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= _MOST_ROWS:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no number of rows from 1 to {_MOST_ROWS}")
    return int(text)


def duration(text: str) -> float:
    """Read an argument that is a number of seconds, or refuse it."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= _MOST_SECONDS:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no number of seconds from 0 to {_MOST_SECONDS}")
    return seconds


def bench(options: argparse.Namespace) -> int:
    """Carry out the command."""
    bundle = read_bundle(options.model)
    device, X = choose_device(options.device), _rows(options, bundle)
    if options.calibrate:
        return _calibrate(options, bundle, device, X)
    print(printable(f"{bundle.path.name}, {bundle.precision}, {_TITLES[device]}"))
    print(f"{'core':8}{'rows':>8}{'ms, median':>12}{'ms, 90 %':>10}{'rows / s':>12}")
    cores = options.core or (("auto",) if device == "cpu" else ("auto", "pool"))
    places = [(device, core, core) for core in cores]
    if device == "npu" and bundle.cpu is not None and not options.core:
        places.append(("cpu", "auto", "CPU"))
    for place, core, title in places:
        with open_bundle(bundle, device=place, core=core, runtime=options.runtime) as model:
            for rows in sorted({1, *(variant.samples for variant in bundle.variants), len(X)}):
                if rows <= len(X):
                    middle, late = _times(model, X[:rows], options.seconds, time.perf_counter)
                    print(f"{title:8}{rows:8}{1e3 * middle:12.3f}{1e3 * late:10.3f}{rows / middle:12.0f}")
    return 0


def _calibrate(options: argparse.Namespace, bundle: Bundle, device: str, X: Array) -> int:
    if device == "cpu":
        raise InputError("device is 'cpu': what the NPU costs is measured on a board, with device='npu'.")
    npu = "npu" if device == "auto" else device
    open_on_npu = partial(open_bundle, device=npu, runtime=options.runtime)
    costs = calibrate(bundle, X, options.seconds / 4, open_on_npu)
    for name in (*NPU_COSTS, *CPU_COSTS):
        value = getattr(costs, name)
        print(f"{name:18}{value:9.3f}" if name == "npu_program" else f"{name:18}{1e6 * value:12.6f} us")
    where = f"kept in {write_costs(costs)}" if npu == "npu" else "not kept: these are the emulator's times"
    print(printable(where))
    print(printable(f"{bundle.path.name}: the CPU is {break_even_text(bundle, costs)}"))
    return 0


def estimate_texts(estimates: Any) -> Any:
    """Say what the converter estimated, seconds by the rows of a run; anything else stays as it is."""
    if not isinstance(estimates, dict) or not all(isinstance(each, float) for each in estimates.values()):
        return estimates
    return [f"{1e3 * each:.3g} ms of the NPU for a run of {rows}" for rows, each in estimates.items()]


def break_even_text(bundle: Bundle, costs: Costs) -> str:
    """Say up to how many rows a call on the CPU, which can compute the bundle's network, is faster."""
    rows, by = break_even(bundle, costs), "measured here" if costs.is_measured else "estimate"
    if rows is None:
        return f"faster than the NPU for any number of rows ({by})"
    if rows == 1:
        return "slower than the NPU for any number of rows"
    return f"faster below {rows} rows a call ({by})"


def calibrate(
    bundle: Bundle,
    X: Array,
    seconds: float,
    open_on_npu: Callable[[Bundle], Methods],
    clock: Clock = time.perf_counter,
) -> Costs:
    """Measure what the parts of a call cost on this machine.

    Parameters
    ----------
    bundle : Bundle
        With weights for the CPU, for the host's work around both networks.
    X : array-like
        Rows for it; they are repeated as needed.
    seconds : float
        For each of some twenty times.
    open_on_npu : callable
        Opens the bundle on the NPU, or on its emulator.
    clock : callable

    Raises
    ------
    BundleError
        The bundle has no weights for the CPU.
    DeviceError, NativeError
        There is no NPU, or it failed.
    """
    work, taken = [], []
    with open_bundle(bundle, device="cpu") as model:
        assert bundle.cpu is not None, "it is open on the CPU"
        for rows in DRAWN_ROWS:
            work.append(cpu_work(bundle.cpu.widths, rows))
            taken.append(_times(model, _repeated(X, rows), seconds, clock)[0])
    for widths in DRAWN:
        layers = _drawn(widths)
        for rows in DRAWN_ROWS:
            values = np.ones((rows, widths[0]), dtype=np.float32)
            work.append(cpu_work(widths, rows) * [0, 1, 0, 1, 1])  # no call and no rows of X
            taken.append(_seconds(lambda: compute(layers, values), seconds, clock)[0])  # noqa: B023
    costs = fit(CPU_COSTS, np.array(work), np.array(taken), Costs())
    with open_on_npu(bundle) as model:
        sizes = [variant.samples for variant in bundle.variants]
        counts = sorted({1, *sizes, *(4 * size for size in sizes)})
        times = [_times(model, _repeated(X, rows), seconds, clock)[0] for rows in counts]
    npu = np.array([npu_work(bundle, rows) for rows in counts])
    return replace(fit(NPU_COSTS, npu, np.array(times), costs), is_measured=True)


def _repeated(X: Array, rows: int) -> Array:
    return np.concatenate([X] * -(-rows // len(X)))[:rows]


def _drawn(widths: Iterable[int]) -> list[CpuLayer]:
    random, sizes = np.random.default_rng(0), list(widths)
    return [
        CpuLayer(
            random.standard_normal((n_in, n_out)).astype(np.float32), np.zeros(n_out, np.float32), "relu"
        )
        for n_in, n_out in zip(sizes, sizes[1:])
    ]


def _times(model: Methods, X: Array, seconds: float, clock: Clock) -> tuple[float, float]:
    """Return the median and the 90th percentile of the seconds that the model's main method takes."""
    answer = getattr(model, model.main_method)
    return _seconds(lambda: answer(X), seconds, clock)


def _seconds(work: Callable[[], object], seconds: float, clock: Clock) -> tuple[float, float]:
    for _ in range(3):
        work()
    seconds_of_calls: list[float] = []
    end = clock() + seconds
    while not seconds_of_calls or clock() < end:
        started = clock()
        work()
        seconds_of_calls.append(clock() - started)
    return float(np.median(seconds_of_calls)), float(np.percentile(seconds_of_calls, 90))


def _rows(options: argparse.Namespace, bundle: Bundle) -> Array:
    if options.input:
        return next(read_blocks(options.input, bundle, block=options.rows))
    if bundle.columns is not None:
        raise InputError(f"{bundle.path.name} takes a table whose rows cannot be drawn; pass --input FILE.")
    rows = np.random.default_rng(0).standard_normal((options.rows, bundle.n_features_in))
    if bundle.input is not None:
        scale = np.where(bundle.input.scale == 0, 1, bundle.input.scale)
        rows = rows / scale + bundle.input.offset
    return rows.astype(np.float32)
