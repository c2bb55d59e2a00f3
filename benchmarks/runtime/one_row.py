"""What scirknn costs over the native call for one row, in times of one run.

The native call is the stand-in for rknnlite of `many_rows`. It spins 0.3 ms, as long as a small model's
call takes, or answers at once. Each call is measured twice: repeated, as a loop over single rows makes it, in
turns of a hundred; and after a `predict` of scikit-learn, which leaves the processor's caches full of
something else. The limits are of the first. Run it as ``python -m benchmarks.runtime.one_row``.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.runtime.many_rows import CALL, Lite, converted, stand_in
from rich.console import Console
from rich.table import Table

import scirknn

Call = Callable[[], Any]
Calls = Mapping[str, Call]
Quantiles = tuple[float, float]

SPINNING = {"predict": "25, 40", "predict_proba": "40, 60"}
"""Limits in microseconds over the bare call that spins, at the 10th percentile and in the median."""

AT_ONCE = {"float16": "15", "int8": "20"}
"""The same of `predict` over the call that answers at once, at the 10th percentile."""

TURN = 100
"""Calls in one turn, after one that is not timed."""

BARE, THEIRS = "bare inference()", "scikit-learn's predict"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--toolkit", default="2.3.2")
    options = parser.parse_args()
    stand_in()
    for precision in ("float16", "int8"):
        with tempfile.TemporaryDirectory() as folder:
            estimator, path = converted(Path(folder), options.toolkit, precision=precision, batch_size=1)
            for seconds in (CALL, 0.0):
                Lite.seconds = {path.name: seconds}
                with scirknn.load(path, device="npu") as model:
                    title = f"{precision}, 64-128-128-10, a native call that takes {1e3 * seconds:g} ms"
                    limits = SPINNING if seconds else {"predict": AT_ONCE[precision]}
                    calls = _calls(estimator, model, path)
                    times = _repeated(calls, options.calls)
                    after = _after(calls[THEIRS], calls, options.calls // 2)
                    Console(width=110).print(_table(title, times, after, limits))


def _calls(estimator: Any, model: Any, path: Path) -> Calls:
    X = np.random.default_rng(1).uniform(-1, 1, (1, 64))  # inside the range of calibration
    given = X.astype(np.float32).reshape(1, 1, 1, 64)
    bare = Lite(verbose=False)
    bare.load_rknn(str(path))
    return {
        BARE: lambda: bare.inference(inputs=[given]),
        "predict": lambda: model.predict(X),
        "predict, float32 row": lambda: model.predict(given[0, 0]),
        "predict_proba": lambda: model.predict_proba(X),
        "predict, list (general)": lambda: model.predict([X[0]]),
        THEIRS: lambda: estimator.predict(X),
    }


def _repeated(calls: Calls, count: int) -> dict[str, Quantiles]:
    """Return the 10th percentile and the median of each call's microseconds, its calls in turns."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(-(-count // TURN)):
        for name, call in calls.items():
            call()
            taken[name] += [_microseconds(call) for _ in range(min(count, TURN))]
    return {name: _quantiles(times) for name, times in taken.items()}


def _after(other: Call, calls: Calls, count: int) -> dict[str, Quantiles]:
    """Return the same of calls each of which follows a call of something else."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(max(count, 1)):
        for name, call in calls.items():
            other()
            taken[name].append(_microseconds(call))
    return {name: _quantiles(times) for name, times in taken.items()}


def _microseconds(call: Call) -> float:
    started = time.perf_counter()
    call()
    return 1e6 * (time.perf_counter() - started)


def _quantiles(times: list[float]) -> Quantiles:
    return float(np.percentile(times, 10)), float(np.median(times))


def _table(
    title: str, times: Mapping[str, Quantiles], after: Mapping[str, Quantiles], limits: Mapping[str, str]
) -> Table:
    table = Table("one row a call, us", "10 %", "median", "over bare", "median", "limits", title=title)
    for heading in ("the same after\nother work, 10 %", "median"):
        table.add_column(heading)
    for name, taken in times.items():
        over = _over(taken, times[BARE])
        cells = [*map("{:.1f}".format, (*taken, *over)), limits.get(name, "")]
        table.add_row(name, *cells, *map("{:.1f}".format, _over(after[name], after[BARE])))
    share = _over(times["predict"], times[BARE])[0] / times[THEIRS][0]
    load = os.getloadavg()[0]
    table.caption = (
        f"predict adds {share:.3f} of scikit-learn's time (limit 0.1); load of the machine {load:.1f}"
    )
    return table


def _over(taken: Quantiles, bare: Quantiles) -> Quantiles:
    return taken[0] - bare[0], taken[1] - bare[1]


if __name__ == "__main__":
    main()
