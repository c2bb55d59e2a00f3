"""A million rows: the time of the host's work, of the NPU's, and of both at once, the best of three.

The session is a stand-in for one over librknnrt: the host casts to float16 or quantizes to int8 and
transposes atoms of 16 bytes; its run copies to and from the NPU's memory, and sleeps. Its time is set to that
of the host's work, where overlap is hardest. It needs a free core. Run it as
``python -m benchmarks.runtime.overlap``.
"""

from __future__ import annotations

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.runtime.many_rows import converted, stand_in
from rich.console import Console
from rich.table import Table

import scirknn
from scirknn.devices import session

BATCH_SIZE = 1024
LIMIT = 1.2
OUTPUTS = 10


class StagedSession:
    """A session with memories of the NPU's layout, whose run takes as long as it is set to."""

    dtype: Any = np.float16
    seconds = 0.0

    def __init__(self, *_: Any) -> None:
        self._input, self._output = np.zeros((2, 1), np.complex128)

    def encode(self, rows: Any) -> Any:
        """Cast or quantize, and transpose atoms of 16 bytes."""
        if self.dtype == np.int8:
            steps = rows / np.float32(0.03)
            np.rint(steps, out=steps)
            steps += np.float32(4)
            np.maximum(steps, np.float32(-128), out=steps)
            np.minimum(steps, np.float32(127), out=steps)
            rows = steps
        return np.ascontiguousarray(rows.astype(self.dtype).view(np.complex128).T)

    def run_encoded(self, memory: Any) -> Any:
        """Copy in, sleep, copy out."""
        if self._input.shape != memory.shape:
            self._input = np.empty_like(memory)
            self._output = np.zeros(
                (-(-OUTPUTS * self.dtype().itemsize // 16), memory.shape[1]), np.complex128
            )
        self._input[...] = memory
        if self.seconds:
            time.sleep(self.seconds)
        return self._output.copy()

    def decode(self, memory: Any) -> Any:
        """Transpose atoms back, and cast."""
        rows = np.ascontiguousarray(memory.T).view(self.dtype)[:, :OUTPUTS]
        return rows.astype(np.float32)

    def run(self, rows: Any) -> Any:
        """Run once."""
        return self.decode(self.run_encoded(self.encode(rows)))

    def close(self) -> None:
        """Do nothing."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--rows", type=int, default=10**6)
    parser.add_argument("--toolkit", default="2.3.2")
    options = parser.parse_args()
    stand_in()
    table = Table("precision", "host, s", "NPU, s", "both, s", "both / longer", f"limit {LIMIT}", "peak, MB")
    table.title = f"{options.rows} rows through 64-128-128-10, runs of {BATCH_SIZE} rows"
    with tempfile.TemporaryDirectory() as folder:
        path = converted(Path(folder), options.toolkit, batch_size=BATCH_SIZE)[1]
        session.NpuSession = StagedSession  # type: ignore[assignment,attr-defined]
        X = np.random.default_rng(2).standard_normal((options.rows, 64), dtype=np.float32)
        for precision, dtype in (("float16", np.float16), ("int8", np.int8)):
            StagedSession.dtype = dtype
            with scirknn.load(path, device="npu") as model:
                table.add_row(precision, *_row(model, X))
    table.caption = f"X itself takes {X.nbytes >> 20} MB; load of the machine {os.getloadavg()[0]:.1f}"
    Console().print(table)


def _row(model: Any, X: Any) -> list[str]:
    model.predict(X[: 4 * BATCH_SIZE])
    runs, tries = -(-len(X) // BATCH_SIZE), []
    for _ in range(3):
        StagedSession.seconds = 0.0
        host = _seconds(lambda: [model.predict(X[i : i + BATCH_SIZE]) for i in range(0, len(X), BATCH_SIZE)])
        StagedSession.seconds = host / runs
        npu = _seconds(lambda: _sleep(runs, StagedSession.seconds))
        both = _seconds(lambda: model.predict(X))
        tries.append((both / max(host, npu), host, npu, both))
    ratio, host, npu, both = min(tries)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    verdict = "kept" if ratio <= LIMIT else "broken"
    return [f"{host:.2f}", f"{npu:.2f}", f"{both:.2f}", f"{ratio:.2f}", verdict, str(peak)]


def _sleep(times: int, seconds: float) -> None:
    for _ in range(times):
        time.sleep(seconds)


def _seconds(work: Any) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
