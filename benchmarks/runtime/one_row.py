"""What scirknn costs over the native call for one row: times of one run, taken in turn.

The native call is the stand-in for rknnlite of `many_rows`. It spins 0.3 ms, as long as a small
model's call takes, or answers at once: what a call does before and after it costs more when the caches hold
something else. Run it as ``python -m benchmarks.runtime.one_row``.
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

Calls = Mapping[str, Callable[[], Any]]

SPINNING = {"predict": "25, 40", "predict_proba": "40, 60"}
"""Limits in microseconds over the bare call that spins, at the 10th percentile and in the median."""

AT_ONCE = {"float16": "15", "int8": "20"}
"""The same of `predict` over the call that answers at once, at the 10th percentile."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--calls", type=int, default=3000)
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
                    times = _times(_calls(estimator, model, path), options.calls)
                    Console().print(_table(title, times, limits))


def _calls(estimator: Any, model: Any, path: Path) -> Calls:
    X = np.random.default_rng(1).uniform(-1, 1, (1, 64))  # inside the range of calibration
    given = X.astype(np.float32).reshape(1, 1, 1, 64)
    bare = Lite(verbose=False)
    bare.load_rknn(str(path))
    return {
        "bare inference()": lambda: bare.inference(inputs=[given]),
        "predict": lambda: model.predict(X),
        "predict, float32 row": lambda: model.predict(given[0, 0]),
        "predict_proba": lambda: model.predict_proba(X),
        "predict, list (general path)": lambda: model.predict([X[0]]),
        "scikit-learn's predict": lambda: estimator.predict(X),
    }


def _times(calls: Calls, count: int) -> dict[str, tuple[float, float]]:
    """Return the 10th percentile and the median of each call's microseconds."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(count):
        for name, call in calls.items():
            started = time.perf_counter()
            call()
            taken[name].append(1e6 * (time.perf_counter() - started))
    return {name: (float(np.percentile(times, 10)), float(np.median(times))) for name, times in taken.items()}


def _table(title: str, times: Mapping[str, tuple[float, float]], limits: Mapping[str, str]) -> Table:
    bare, theirs = times["bare inference()"], times["scikit-learn's predict"]
    table = Table(
        "one row a call", "us, 10 %", "us, median", "over bare, 10 %", "median", "limits", title=title
    )
    for name, (low, middle) in times.items():
        over = [f"{low - bare[0]:.1f}", f"{middle - bare[1]:.1f}"]
        table.add_row(name, f"{low:.1f}", f"{middle:.1f}", *over, limits.get(name, ""))
    share = (times["predict"][0] - bare[0]) / theirs[0]
    load = os.getloadavg()[0]
    table.caption = (
        f"predict adds {share:.3f} of scikit-learn's time (limit 0.1); load of the machine {load:.1f}"
    )
    return table


if __name__ == "__main__":
    main()
