"""Which CPU serves the NPU's interrupts, and how to have a big core do it.

On an RK3588 a submit took 51 us with the interrupts on CPU 0, a small core, and 31 us on a big one [silicon:
github.com/gregordinary/rockchip-npu-notes, perf/iova-and-multicore.md, June 2026, a mainline kernel, the NPU
at 600 MHz]. Files are the kernel's (core-api/irq/irq-affinity; ABI/testing/sysfs-devices-system-cpu has
``cpu_capacity``).
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

from rknn_harness.board_runner.clocks import (
    read_number,
    restore_at_end,
    restore_record,
    write_record,
    write_value,
)
from scirknn.devices.compatibility import small_text

_CPUS = re.compile(r"[0-9,-]{1,64}")
_NPU = re.compile(r"\b[0-9a-f]+\.npu\b")


@dataclass(frozen=True)
class Interrupt:
    """One of the NPU's interrupts, and the folder of its files."""

    name: str
    folder: Path

    def serving(self) -> str | None:
        """Return the CPUs that serve it, such as ``"4"`` or ``"0-7"``."""
        return small_text(self.folder / "effective_affinity_list") or self.allowed()

    def allowed(self) -> str | None:
        """Return the CPUs that may serve it."""
        return small_text(self.folder / "smp_affinity_list")

    def may_be_moved(self) -> bool:
        """Whether this user may say which CPUs serve it."""
        return self.allowed() is not None and os.access(str(self.folder / "smp_affinity_list"), os.W_OK)

    def allow(self, cpus: str) -> None:
        """Have these CPUs serve it.

        Raises
        ------
        OSError
        """
        write_value(self.folder / "smp_affinity_list", cpus)

    def restore(self, cpus: Any) -> bool:
        """Have the CPUs of a record serve it, and return whether they are CPUs."""
        is_list = isinstance(cpus, str) and bool(_CPUS.fullmatch(cpus))
        if is_list:
            self.allow(cpus)
        return is_list


def interrupts_of(top: Path) -> list[Interrupt]:
    """Return the interrupts of the NPU; none where ``/proc/interrupts`` names none."""
    found = []
    for line in (small_text(top / "proc/interrupts") or "").splitlines():
        label, _, rest = line.strip().partition(":")
        if label.isdigit() and _NPU.search(rest):
            found.append(Interrupt(f"irq{label}", top / "proc/irq" / label))
    return found


def big_core(top: Path) -> int | None:
    """Return the first of the CPUs with the greatest capacity; None where all are alike."""
    capacities = {}
    for folder in (top / "sys/devices/system/cpu").glob("cpu[0-9]*"):
        capacity = read_number(folder / "cpu_capacity")
        if capacity is not None:
            capacities[int(folder.name[3:])] = capacity
    if len(set(capacities.values())) < 2:
        return None
    return min(capacities, key=lambda cpu: (-capacities[cpu], cpu))


def serving_cpus(top: Path) -> dict[str, str]:
    """Return which CPUs serve each of the NPU's interrupts."""
    cpus = {each.name: each.serving() for each in interrupts_of(top)}
    return {name: value for name, value in cpus.items() if value is not None}


class Interrupts:
    """The NPU's interrupts on a machine whose files lie below `root`.

    While they are held, the file `record` has which CPUs might serve them before, for the next process to
    restore should every one be killed.
    """

    def __init__(self, root: str, record: Path) -> None:
        self._top, self._record = Path(root), record

    @contextlib.contextmanager
    def watch(self, *, hold: bool) -> Iterator[None]:
        """Have the first big core serve them for a while, with `hold` and where this user may."""
        core = big_core(self._top) if hold else None
        chosen = [each for each in interrupts_of(self._top) if each.may_be_moved()]
        if core is None or not chosen:
            yield
            return
        with restore_at_end(self.restore):
            self._hold(chosen, core)
            yield

    def summary(self) -> dict[str, str]:
        """Return which CPUs serve each now."""
        return serving_cpus(self._top)

    def restore(self) -> bool:
        """Restore them from the record, and return whether any was; it stays when one could not be."""
        parts = {each.name: each.restore for each in interrupts_of(self._top)}
        return restore_record(self._record, "interrupts", parts)

    def _hold(self, chosen: list[Interrupt], core: int) -> None:
        """Record which CPUs may serve them, and have one core do it; nothing where it cannot be recorded."""
        if not write_record(self._record, {each.name: each.allowed() for each in chosen}, "interrupts"):
            return
        for each in chosen:
            try:
                each.allow(str(core))
            except OSError as error:
                print(f"interrupts: {each.name} cannot be held: {error}", file=sys.stderr)
