"""The board's clocks and temperatures; clocks are held while a model is timed.

Paths and names are the kernel's (admin-guide/pm/cpufreq, ABI/testing/sysfs-class-devfreq) and the vendor's
(RKNPU API guide 1.5.0, section 4.8: ``/sys/class/devfreq/fdab0000.npu`` and ``dmc``).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, Mapping

from scirknn.devices.compatibility import small_text
from scirknn.files import read_file, write_atomically
from scirknn.text import parse_json

_READ_LIMIT = 1 << 16
_SETTLE_SECONDS = 0.2
_LOOK_SECONDS = 0.2
_MOVED = 0.01
"""Share by which a clock that is not held may differ: some are measured, and jitter."""

_DEVFREQ_FILES = (
    "governor",
    "available_governors",
    "cur_freq",
    "available_frequencies",
    "userspace/set_freq",
)
_CPUFREQ_FILES = ("governor", "available_governors", "cur_freq", "max_freq", "setspeed")

Frequencies = Dict[str, int]
"""Hz by the clock's name: ``npu``, ``ddr``, ``policy0`` and so on."""


@dataclass(frozen=True)
class Clock:
    """One clock's files, and the unit of its frequencies in Hz."""

    name: str
    unit: int
    governor: Path
    governors: Path
    current: Path
    highest: Path
    wanted: Path

    def frequency(self) -> int | None:
        """Return the current frequency, in Hz."""
        value = read_number(self.current)
        return None if value is None else value * self.unit

    def available(self) -> list[int] | None:
        """Return the frequencies that `highest` names, in Hz."""
        words = (small_text(self.highest) or "").split()
        return [int(word) * self.unit for word in words if word.isdigit()] or None

    def top(self) -> int | None:
        """Return the highest frequency, in Hz."""
        return max(self.available() or [], default=None)

    def restore(self, entry: Any) -> bool:
        """Set what a record has of the clock, and return whether it has a governor's name."""
        if not isinstance(entry, dict) or not re.fullmatch(r"[a-z0-9_]{1,40}", str(entry.get("governor"))):
            return False
        write_value(self.governor, entry["governor"])
        if entry["governor"] == "userspace" and type(entry.get("frequency")) is int:
            write_value(self.wanted, str(entry["frequency"] // self.unit))
        return True


def clocks_of(top: Path) -> list[Clock]:
    """Return the clocks of the NPU, the memory and the CPU that have files."""
    clocks = []
    for name, pattern in (("npu", "*.npu"), ("ddr", "dmc")):
        for folder in sorted((top / "sys/class/devfreq").glob(pattern))[:1]:
            files = [folder / each for each in _DEVFREQ_FILES]
            clocks.append(Clock(name, 1, *files))
    for folder in sorted((top / "sys/devices/system/cpu/cpufreq").glob("policy*")):
        files = [folder / f"scaling_{each}" for each in _CPUFREQ_FILES]
        clocks.append(Clock(folder.name, 1000, *files))
    return clocks


class Clocks:
    """The clocks of a machine whose files lie below `root`.

    While clocks are held, the file `record` has their earlier state: should every process of the board be
    killed, the next one restores them.
    """

    def __init__(self, root: str, record: Path) -> None:
        self._top = Path(root)
        self.record = record

    def frequencies(self) -> Frequencies:
        """Return the current frequencies."""
        current = {clock.name: clock.frequency() for clock in clocks_of(self._top)}
        return {name: value for name, value in current.items() if value is not None}

    def temperature(self) -> float | None:
        """Return the hottest zone's temperature in degrees Celsius."""
        return max((temperatures(self._top) or {}).values(), default=None)

    @contextlib.contextmanager
    def watch(self, *, hold: bool) -> Iterator[Watch]:
        """Watch the clocks; with `hold`, at their highest where this user may set them."""
        chosen = self._choice() if hold else {}
        if not chosen:
            yield Watch(self, None)
            return
        with restore_at_end(self.restore):
            yield Watch(self, self._clocks_at_top() if self._hold(chosen) else None)

    def restore(self) -> bool:
        """Restore the clocks from the record, and return whether any was.

        The record stays when one could not be set.
        """
        parts = {clock.name: clock.restore for clock in clocks_of(self._top)}
        return restore_record(self.record, "clocks", parts)

    def _choice(self) -> dict[Clock, str]:
        """Return the clocks that this user may set, with the governor that holds each."""
        chosen: dict[Clock, str] = {}
        for clock in clocks_of(self._top):
            words = (small_text(clock.governors) or "").split()
            best = next((word for word in ("performance", "userspace") if word in words), None)
            if best is not None and small_text(clock.governor) and os.access(str(clock.governor), os.W_OK):
                chosen[clock] = best
        return chosen

    def _hold(self, chosen: Mapping[Clock, str]) -> bool:
        """Record the state of clocks, and set them; False where it cannot be recorded."""
        state = {c.name: {"governor": small_text(c.governor), "frequency": c.frequency()} for c in chosen}
        if not write_record(self.record, state, "clocks"):
            return False
        for clock, governor in chosen.items():
            try:
                write_value(clock.governor, governor)
                top = clock.top()
                if governor == "userspace" and top is not None:
                    write_value(clock.wanted, str(top // clock.unit))
            except OSError as error:
                print(f"clocks: {clock.name} cannot be held: {error}", file=sys.stderr, flush=True)
        return True

    def _clocks_at_top(self) -> Frequencies:
        """Return the clocks that reached their highest frequency."""
        end = time.monotonic() + _SETTLE_SECONDS
        while True:
            held = {}
            clocks = clocks_of(self._top)
            for clock in clocks:
                top, frequency = clock.top(), clock.frequency()
                fixed = small_text(clock.governor) in ("performance", "userspace")
                if fixed and top is not None and frequency == top:
                    held[clock.name] = frequency
            if len(held) == len(clocks) or time.monotonic() > end:
                return held
            time.sleep(0.01)


class Watch:
    """Clocks and temperatures over a while; `held` are the held clocks, in Hz."""

    def __init__(self, clocks: Clocks, held: Frequencies | None) -> None:
        self._clocks, self._held = clocks, held or None
        self._looks = [clocks.frequencies()]
        self._temperatures = [clocks.temperature()]
        self._next = time.monotonic() + _LOOK_SECONDS

    def look(self) -> float:
        """Look if it is time to, and return the seconds until the next look."""
        now = time.monotonic()
        if now >= self._next:
            self._looks.append(self._clocks.frequencies())
            self._temperatures.append(self._clocks.temperature())
            self._next = now + _LOOK_SECONDS
        return self._next - now

    def summary(self) -> dict[str, Any]:
        """Look for the last time, and summarize.

        ``pinned``, Hz by name of the held clocks, or None; ``before`` and ``after``, Hz by name of all;
        ``moved``, whether one moved; ``temperature``, the hottest zone's least and greatest in degrees
        Celsius, or None.
        """
        self._next = 0.0
        self.look()
        # A clock that is not held rises with the load, which the warm-up's calls are for.
        loose = self._looks[1:] if len(self._looks) > 2 else self._looks
        held = self._held or {}
        moved = any(look.get(name) != value for look in self._looks for name, value in held.items())
        for name in self._looks[0]:
            values = [look[name] for look in loose if name in look]
            if name not in held and values and max(values) - min(values) > _MOVED * max(values):
                moved = True
        temperatures = [value for value in self._temperatures if value is not None]
        return {
            "pinned": self._held,
            "before": self._looks[0],
            "after": self._looks[-1],
            "moved": moved,
            "temperature": [min(temperatures), max(temperatures)] if temperatures else None,
        }


def restore_record(path: Path, what: str, parts: Mapping[str, Callable[[Any], bool]]) -> bool:
    """Restore what was held from its record, and return whether any of it was.

    `parts` by name set what the record has, and return whether it could be used; they take names and words,
    never paths: others may write where the record lies, and this may be root. The record stays when one
    could not be set.
    """
    saved = _read_record(path)
    if saved is None:
        return False
    all_set, any_set = True, False
    for name, restore in parts.items():
        try:
            any_set |= restore(saved.get(name))
        except OSError as error:
            print(f"{what}: {name} cannot be put back: {error}", file=sys.stderr, flush=True)
            all_set = False
    if all_set:
        with contextlib.suppress(OSError):
            path.unlink()
    return any_set


def _read_record(path: Path) -> dict[str, Any] | None:
    """Return what was held, by name; None without a record, and nothing from one that is damaged."""
    try:
        saved = parse_json(read_file(path, _READ_LIMIT, follow_links=False))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return saved if isinstance(saved, dict) else {}


def write_record(path: Path, state: Mapping[str, object], what: str) -> bool:
    """Record the state of what is to be held; print why, and return False, where it cannot be."""
    try:
        # Others may write to the folder too.
        write_atomically(path, json.dumps(state), mode=0o644, follow_links=False)
    except OSError as error:
        print(f"{what}: not held, as {path} cannot be written: {error}", file=sys.stderr)
        return False
    return True


@contextlib.contextmanager
def restore_at_end(restore: Callable[[], object]) -> Iterator[None]:
    """Restore what is held in the end; have another process do it if this one is killed."""
    listening, speaking = os.pipe()
    pid = os.fork()
    if pid == 0:
        _stand_guard(restore, listening, speaking)
    os.close(listening)
    try:
        try:
            yield
        finally:
            restore()
    finally:
        with contextlib.suppress(OSError):
            os.write(speaking, b"done")
        os.close(speaking)
        os.waitpid(pid, 0)


def _stand_guard(restore: Callable[[], object], listening: int, speaking: int) -> None:
    """Never returns."""
    try:
        os.setsid()  # what ends the runner's group does not end this
        os.close(speaking)
        null = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(null, descriptor)
        if not os.read(listening, 4):
            restore()
    finally:
        os._exit(0)


def read_number(path: Path) -> int | None:
    """Return a small file's number, or None."""
    try:
        return int(small_text(path) or "")
    except ValueError:
        return None


def temperatures(top: Path) -> dict[str, float] | None:
    """Return each thermal zone's temperature in degrees Celsius."""
    zones = {}
    for folder in sorted((top / "sys/class/thermal").glob("thermal_zone*")):
        value = read_number(folder / "temp")  # thousandths of a degree
        if value is not None:
            zones[small_text(folder / "type") or folder.name] = value / 1000
    return zones or None


def write_value(path: Path, value: str) -> None:
    """Write a value into a file of the kernel's, which has to be there."""
    # Not "w", which would make the file: in sysfs it is there or cannot be.
    descriptor = os.open(str(path), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(descriptor, f"{value}\n".encode())
    finally:
        os.close(descriptor)
