"""What the harness itself costs, over loopback: a question to the runner, a large file, a whole case.

The board is the virtual one. Every figure stands beside what it is to be compared with in the same run. Run
it as ``python -m benchmarks.harness``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

import sklearn2rknn
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.providers.virtual import virtual_board
from rknn_harness.boards.session.channel import RunnerChannel
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.session.timing_calls import SamplingBounds
from rknn_harness.conformance import run_case
from rknn_harness.conformance.timing import Timing
from rknn_harness.records.case import Case, random_case
from rknn_harness.records.phases import Phase
from rknn_harness.records.run_folder import RunFolder
from rknn_harness.records.specs.mlp_spec import MlpSpec

MEGABYTES = 20
SHORT = Timing(SamplingBounds(warmup=1, min_count=1, min_seconds=0.0, max_seconds=1.0))
"""Board execution is taken off in any case; the less of it, the less noise."""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--calls", type=int, default=500)
    parser.add_argument("--transfers", type=int, default=7)
    parser.add_argument("--cases", type=int, default=20)
    parser.add_argument("--toolkit", default="2.3.2")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    console = Console()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        board = stack.enter_context(virtual_board(folder / "board"))
        link = stack.enter_context(BoardLink(board, folder))
        console.print(_questions(link.session(), options.calls))
        console.print(_transfers(link.session(), board, folder, options.transfers))
        toolkit = stack.enter_context(sklearn2rknn.open_toolkit(options.toolkit))
        record = stack.enter_context(RunFolder.begin(folder / "run", {}))
        console.print(_cases(link, toolkit, record, options.cases))


def _questions(session: BoardSession, calls: int) -> Table:
    table = Table("question", "ms, median", "least", "90 %", title="a question to the runner (limit: 1 ms)")
    samples = _times(session.hello, calls)
    middle, late = np.percentile(samples, [50, 90])
    table.add_row(
        "hello, through both of its processes",
        *(f"{1e3 * each:.2f}" for each in (middle, min(samples), late)),
    )
    return table


def _times(call: Callable[[], object], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        started = time.perf_counter()
        call()
        taken.append(time.perf_counter() - started)
    return taken


def _transfers(session: BoardSession, board: Board, folder: Path, count: int) -> Table:
    """Send a new file each time, in each way in turn."""
    source = folder / "artifact"

    def put() -> None:
        session.files.put({"artifact": source})

    def opensshs() -> None:
        command = [
            "sftp", "-q", "-b", "-", "-F", "none", "-P", str(board.port), "-i", str(board.key),
            "-o", f"UserKnownHostsFile={board.known_hosts}", f"{board.user}@{board.host}",
        ]  # fmt: skip
        batch = f"put {source} openssh\n"
        subprocess.run(command, input=batch, capture_output=True, text=True, check=True)

    ways: dict[str, Callable[[], None]] = {
        "put: sent, read back, renamed": put,
        "OpenSSH's sftp, connection included": opensshs,
    }
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(count):
        for name, send in ways.items():
            source.write_bytes(os.urandom(MEGABYTES << 20))
            taken[name] += _times(send, 1)
    table = Table("way", "MB / s, median", "put reaches of it, %", title=f"{MEGABYTES} MiB (limit: 60 %)")
    ours = statistics.median(taken["put: sent, read back, renamed"])
    for name, seconds in taken.items():
        middle = statistics.median(seconds)
        table.add_row(name, f"{MEGABYTES * 1.048576 / middle:.0f}", f"{100 * middle / ours:.0f}")
    return table


_BOARD = "board execution, as the board says"
_OPERATIONS = ("load", "predict", "outputs", "cores", "time", "time_cpu")
_ELSEWHERE = (Phase.FIT, Phase.CONVERT, Phase.STAGES, Phase.AGAIN)
"""Phases in which scikit-learn, the toolkit, onnxruntime and the virtual NPU compute."""

_REST = "the harness: transfer, questions, limits, judging, record"


@contextmanager
def _board_execution(taken: list[float]) -> Iterator[None]:
    """Collect the seconds that the board says its operations took; those between are the harness's."""
    ask = RunnerChannel.ask

    def call(self: RunnerChannel, op: str, *rest: Any, **fields: Any) -> Any:
        header, arrays = ask(self, op, *rest, **fields)
        if op in _OPERATIONS:
            taken.append(header["seconds"])
        return header, arrays

    RunnerChannel.ask = call  # type: ignore[method-assign]
    try:
        yield
    finally:
        RunnerChannel.ask = ask  # type: ignore[method-assign]


def _cases(link: BoardLink, toolkit: sklearn2rknn.Toolkit, record: RunFolder, count: int) -> Table:
    link.prove(toolkit)
    parts: dict[str, list[float]] = {}
    for number in range(count + 1):
        on_board: list[float] = []
        questions = link.session().runner.requests
        with _board_execution(on_board):
            started = time.perf_counter()
            case = _case(number, toolkit.version)
            result = run_case.run_case(
                case, toolkit, link, timing=SHORT, files=run_case.CaseFiles(record.path)
            )
            record.record(result)
            total = time.perf_counter() - started
        questions = link.session().runner.requests - questions
        if result.outcome.value != "pass":
            raise SystemExit(f"case {number}: {result.outcome.value}: {result.reason}")
        if not number:
            continue  # it warms everything up
        elsewhere = {phase.meaning: result.seconds.get(phase, 0.0) for phase in _ELSEWHERE}
        elsewhere[_BOARD] = sum(on_board)
        rest = {_REST: total - sum(elsewhere.values()), "total": total}
        for part, seconds in {**elsewhere, **rest}.items():
            parts.setdefault(part, []).append(seconds)
    title = f"{count} cases of 64-64-64-10, float16, 64 rows a run, {questions} questions (limit: 30 ms)"
    table = Table("part of a case", "ms, median", "least", title=title)
    for part, samples in parts.items():
        middle, least = 1e3 * statistics.median(samples), 1e3 * min(samples)
        table.add_row(part, f"{middle:.1f}", f"{least:.1f}", style="bold" if part == _REST else "")
    return table


def _case(seed: int, toolkit: str) -> Case:
    spec = MlpSpec(64, (64, 64), "relu", "softmax", 10, "int", None, 64, seed)
    return random_case(spec, "float16", toolkit, (64,))


if __name__ == "__main__":
    main()
