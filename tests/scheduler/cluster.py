"""A dask.distributed scheduler and its workers, as programs on 127.0.0.1."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.waiting import PATIENCE

PROGRAM = Path(sys.executable).parent / "dask"
TOOLKIT = "2.3.2"


class Cluster:
    """A scheduler and workers with one toolkit; a context manager.

    Parameters
    ----------
    folder : pathlib.Path
        Of logs and the workers' files.
    workers : int
    tls : sequence of str
        The scheduler's and the workers' own options for an encrypted connection.

    Attributes
    ----------
    address : str
    """

    def __init__(self, folder: Path, workers: int = 2, tls: Sequence[str] = ()) -> None:
        self.folder, self.address = folder, ""
        self._tls, self._count = tuple(tls), workers
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Cluster:
        self.folder.mkdir(parents=True, exist_ok=True)
        protocol = "tls" if self._tls else "tcp"
        log = self._start(
            "scheduler", "--protocol", protocol, "--host", "127.0.0.1", "--port", "0", "--no-show"
        )
        self.address = _wait(log, "Scheduler at:").split()[-1]
        for _ in range(self._count):
            self.start_worker()
        return self

    def __exit__(self, *_: object) -> None:
        for number in reversed(range(len(self._processes))):
            self.kill(number)

    def start_worker(self, *options: str) -> int:
        """Start a worker, and wait until the scheduler has it; return its number."""
        number = len(self._processes)
        log = self._start(
            "worker", self.address, "--host", "127.0.0.1", "--nthreads", "1", "--no-nanny",
            "--resources", f"toolkit-{TOOLKIT}=1", "--local-directory", str(self.folder), *options,
        )  # fmt: skip
        _wait(log, "Registered to:")
        return number

    def kill(self, number: int, by: signal.Signals = signal.SIGKILL) -> None:
        """End a process, or freeze it with SIGSTOP: the scheduler is number 0. A worker's toolkit follows."""
        self._processes[number].send_signal(by)
        if by is not signal.SIGSTOP:
            self._processes[number].wait()

    def _start(self, kind: str, *words: str) -> Path:
        log = self.folder / f"{kind}-{len(self._processes)}.log"
        with log.open("wb") as output:
            command = [str(PROGRAM), kind, *words, "--no-dashboard", *self._tls]
            self._processes.append(
                subprocess.Popen(command, stdout=output, stderr=output, cwd=self.folder, env=_environment())
            )
        return log


def _environment() -> dict[str, str]:
    """Return one in which workers find what tests have them do."""
    return {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}


def _wait(log: Path, text: str) -> str:
    """Return the first line of a log that has a text."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        lines = [line for line in log.read_text().splitlines() if text in line]
        if lines:
            return lines[0]
        time.sleep(0.05)
    raise TimeoutError(log.read_text()[-2000:])
