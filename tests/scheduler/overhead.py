"""What a scheduler adds to a conversion beside a process pool: ``python -m tests.scheduler.overhead``.

Both do the same tasks, which give back bytes of a conversion's size at once, in rounds by turns: what is left
is sending, receiving and waiting.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from rknn_harness.conversions.scheduler import Scheduler, SchedulerSettings
from rknn_harness.conversions.task import ConversionTask
from rknn_harness.records.case import dataset_case
from tests.scheduler.cluster import TOOLKIT, Cluster

BYTES = 400_000
"""More than most conversions of fixed models have: half of them have less than 100,000."""

LIMIT_MS = 15.0
TASKS, ROUNDS, PROCESSES = 20, 5, 2


def give_back(document: Mapping[str, Any]) -> bytes:
    """Stand for a conversion that takes no time."""
    return bytes(BYTES)


def main() -> None:
    """Measure and print; end with 1 above the limit."""
    with tempfile.TemporaryDirectory() as folder, Cluster(Path(folder), PROCESSES) as cluster:
        pool = ProcessPoolExecutor(PROCESSES, mp_context=get_context("forkserver"))
        with pool, Scheduler(SchedulerSettings(cluster.address), [TOOLKIT], give_back) as engine:

            def by_pool(tasks: Sequence[ConversionTask]) -> None:
                list(pool.map(give_back, [task.to_plain() for task in tasks]))

            def by_scheduler(tasks: Sequence[ConversionTask]) -> None:
                engine.start(tasks, None)
                for task in tasks:
                    engine.result(task)

            rounds = [
                (_milliseconds(by_pool, number), _milliseconds(by_scheduler, number))
                for number in range(ROUNDS + 1)
            ]
    pooled, scheduled = (statistics.median(column) for column in zip(*rounds[1:], strict=True))
    added = statistics.median(scheduler - pool for pool, scheduler in rounds[1:])
    print(f"{ROUNDS} rounds of {TASKS} tasks of {BYTES} bytes on {PROCESSES} processes, ms a task, median:")
    print(f"pool {pooled:.1f}   scheduler {scheduled:.1f}   added {added:.1f} (limit: {LIMIT_MS:.0f})")
    if added > LIMIT_MS:
        raise SystemExit(1)


def _milliseconds(do: Callable[[Sequence[ConversionTask]], None], number: int) -> float:
    # Batch sizes make the tasks, and so their keys, different ones.
    tasks = [
        ConversionTask(dataset_case("digits", "float16", TOOLKIT, (1 + number * TASKS + each,)), TOOLKIT)
        for each in range(TASKS)
    ]
    started = time.perf_counter()
    do(tasks)
    return 1e3 * (time.perf_counter() - started) / TASKS


if __name__ == "__main__":
    main()
