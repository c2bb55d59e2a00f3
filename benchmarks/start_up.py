"""Processor time of commands that only answer, over that of importing numpy: ratios of one run.

Each figure is the least of five. Run it as ``python -m benchmarks.start_up``.
"""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

REPEATS = 5
COMMANDS = (
    "rknn_harness --help",
    "rknn_harness run --help",
    "rknn_harness board list",
    "rknn_harness run --no-such-option",
    "sklearn2rknn --help",
    "sklearn2rknn --no-such-option",
    "scirknn --help",
    "virtual_npu --help",
)


def seconds(arguments: Sequence[str]) -> float:
    """Return the least processor time, in seconds, of a Python process."""
    return min(_once(arguments) for _ in range(REPEATS))


def _once(arguments: Sequence[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *arguments], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Measure and print."""
    numpy = seconds(["-c", "import numpy"])
    table = Table("command", "ms", "times numpy", title=f"import numpy takes {numpy * 1e3:.0f} ms")
    for command in COMMANDS:
        taken = seconds(["-m", *command.split()])
        table.add_row(command, f"{taken * 1e3:.0f}", f"{taken / numpy:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
