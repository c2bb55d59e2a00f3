"""The progress of a run: a bar on a terminal, sparse plain lines elsewhere."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from rknn_harness.screen.text import INDENT
from scirknn.text import printable

_PLAIN_SECONDS = 10.0
_PLAIN_SHARE = 0.1


class Live(Protocol):
    """A display of a run's progress."""

    def expect(self, total: int) -> None:
        """Set the number of cases that will be tried."""

    def show(self, done: int, wrong: int, current: str) -> None:
        """Show how many cases ended, how many of them are wrong, and the current one."""

    def say(self, text: str) -> None:
        """Show what is done while no case is tried."""

    def close(self) -> None:
        """Remove the line."""


class Record:
    """A run's ``cases.jsonl`` as it grows: counts its lines."""

    def __init__(self, path: Path) -> None:
        self._path, self._offset = path, 0

    def read(self) -> list[bytes]:
        """Return the new lines; an incomplete one is left for later."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                grown = file.read()
        except OSError:
            return []
        complete = grown[: grown.rfind(b"\n") + 1]
        self._offset += len(complete)
        return complete.splitlines()


class TimeLeft:
    """The time that the rest should take, by the cases that this run has done.

    Parameters
    ----------
    total : int
    done : int
        Cases recorded already, such as those of a resumed run.
    now : callable
    """

    def __init__(self, total: int, done: int, now: Callable[[], float] = time.monotonic) -> None:
        self._total, self._start, self._now = total, done, now
        self._first: tuple[int, float] | None = None
        self._done = done

    def expect(self, total: int) -> None:
        """Set the number of cases that will be tried."""
        self._total = total

    def ended(self, done: int) -> None:
        """Record how many cases ended by now."""
        if done > self._start and self._first is None:
            # Before the first end lies the start of toolkits and boards.
            self._first = done, self._now()
        self._done = done

    @property
    def seconds(self) -> float | None:
        """Seconds that are left; None while too few cases ended."""
        if self._first is None or self._done - self._first[0] < 3:
            return None
        count, since = self._first
        return (self._now() - since) / (self._done - count) * (self._total - self._done)

    def __str__(self) -> str:
        left = self.seconds
        if left is None or self._done >= self._total:
            return ""
        return f"{max(1, round(left))} s left" if left < 100 else f"{round(left / 60)} min left"


class _Bar:
    def __init__(self, total: int, done: int, stream: TextIO) -> None:
        self._left, self._total = TimeLeft(total, done), total
        self._progress = Progress(
            TextColumn(" "),
            BarColumn(24, complete_style="cyan", finished_style="cyan"),
            TextColumn("{task.completed:.0f}/{task.total:.0f}{task.fields[wrong]}"),
            TextColumn("{task.description}", markup=False),
            TextColumn("{task.fields[left]}"),
            console=Console(file=stream, force_terminal=True, width=80, highlight=False),
            transient=True,
            refresh_per_second=4,
        )
        self._task = self._progress.add_task("starting", total=total, completed=done, wrong="", left="")
        self._progress.start()

    def expect(self, total: int) -> None:
        self._left.expect(total)
        self._total = total
        self._progress.update(self._task, total=total)

    def show(self, done: int, wrong: int, current: str) -> None:
        self._left.ended(done)
        failures = f"[red]  {wrong} wrong[/]" if wrong else ""
        doing = "writing the report" if done == self._total else _short(current)
        self._progress.update(
            self._task, completed=done, description=doing, wrong=failures, left=str(self._left)
        )

    def say(self, text: str) -> None:
        self._progress.update(self._task, description=_short(text), left="")

    def close(self) -> None:
        self._progress.stop()


class _Plain:
    def __init__(self, total: int, done: int, stream: TextIO, now: Callable[[], float]) -> None:
        self._total, self._stream, self._now = total, stream, now
        self._left = TimeLeft(total, done, now)
        self._shown = done
        self._begun = self._at = now()

    def expect(self, total: int) -> None:
        self._left.expect(total)
        self._total = total

    def show(self, done: int, wrong: int, current: str) -> None:
        self._left.ended(done)
        if done == self._shown:
            return
        # Less and less often, so that a long run has some ten such lines more.
        late = self._now() - self._at >= max(_PLAIN_SECONDS, (self._now() - self._begun) / 5)
        if late or done - self._shown >= _PLAIN_SHARE * self._total or done == self._total:
            parts = [
                f"{done:4} of {self._total}",
                f"{wrong} wrong" * bool(wrong),
                _short(current),
                str(self._left),
            ]
            self.say("   ".join(filter(None, parts)))
            self._shown, self._at = done, self._now()

    def say(self, text: str) -> None:
        print(f"{INDENT}{printable(text)}", file=self._stream, flush=True)

    def close(self) -> None:
        pass


def live(total: int, done: int, stream: TextIO, now: Callable[[], float] = time.monotonic) -> Live:
    """Return a display of a run's progress on a stream.

    Parameters
    ----------
    total : int
        Cases of the plan.
    done : int
        Cases recorded already.
    stream : text file
    now : callable
        The clock of plain lines.
    """
    return _Plain(total, done, stream, now) if is_plain(stream) else _Bar(total, done, stream)


def is_plain(stream: TextIO) -> bool:
    """Whether a stream shows no bar and no colour: a pipe, ``NO_COLOR``, ``CI``, a dumb terminal."""
    environment = os.environ
    return (
        not stream.isatty()
        or bool(environment.get("NO_COLOR"))
        or bool(environment.get("CI"))
        or environment.get("TERM") == "dumb"
    )


def _short(name: str) -> str:
    return name if len(name) <= 28 else name[:25] + "..."
