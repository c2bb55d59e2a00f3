"""The lease on the board: one session at a time has its NPU.

In a folder that all users of the board share::

    session.lock    locked with flock(2) by the runner that has the NPU, and by its child: the kernel lets go
                    of it when the last of them is gone, however they ended
    session.json    who that is, since when and until when
    reserved.json   a person's reservation, which needs no process and counts until its time is over

Times are seconds of the board's clock, since 1970. That clock may be set, by years where a board without a
battery has just started: so a session is over by ``ends``, seconds since the board's start. What others wrote
into the folder is read as data, and no more of it is believed than the kernel confirms.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import stat
import sys
import time
from pathlib import Path
from typing import Any, Mapping

from scirknn.files import read_file, write_atomically
from scirknn.text import parse_json

_READ_LIMIT = 1 << 16
_TEXT_LIMIT = 200
_STEP_SECONDS = 0.02
_AHEAD_SECONDS = 10.0
_LONGEST_SECONDS = 90 * 86_400.0
_LOCKS = Path("/proc/locks")


class Held(Exception):
    """Another, the `holder`, has the board."""

    def __init__(self, holder: dict[str, Any], why: str = "") -> None:
        until = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(holder["until"]))
        kind = "is reserved" if holder["reserved"] else "is in use"
        what = f" ({holder['what']})" if holder["what"] else ""
        super().__init__(f"the board {kind} by {holder['owner']}{what} until {until}{why}")
        self.holder = holder


class Lease:
    """One process's part in the lease; the folder is open to all where its parent is."""

    def __init__(self, folder: str) -> None:
        self.folder = Path(folder)
        self._session = self.folder / "session.json"
        self._reserved = self.folder / "reserved.json"
        self._descriptor = -1
        self._claim: dict[str, Any] = {}

    @property
    def is_held(self) -> bool:
        """Whether this process has the board."""
        return bool(self._claim)

    @property
    def seconds_left(self) -> float:
        """Seconds until the lease is over."""
        return float(self._claim["ends"] - _since_start()) if self._claim else 0.0

    def take(
        self, *, owner: str, what: str, token: str, seconds: float, wait: float
    ) -> dict[str, Any] | None:
        """Take the board for `seconds` unless renewed; wait `wait` seconds for a holder.

        A holder that is gone is followed, and so is one whose time is over or that has the same token: an
        earlier session of the same caller, cut off from it. Such a process is killed first. A reservation by
        the same owner does not exclude it.

        Returns
        -------
        dict or None
            The holder that was taken over.

        Raises
        ------
        Held
        OSError
            The folder cannot be used.
        """
        self._make_folder()
        end = time.monotonic() + wait
        while True:
            try:
                left = self._try(owner, token)
                break
            except Held:
                if time.monotonic() >= end:
                    raise
                time.sleep(_STEP_SECONDS)
        now = time.time()
        self._claim = {
            "owner": owner,
            "what": what,
            "token": token,
            "pid": os.getpid(),
            "since": now,
            "until": now + seconds,
            "ends": _since_start() + seconds,
        }
        self._write(self._session, self._claim)
        if left is not None:
            print(f"lease: taken over from {_public(left, False)}", file=sys.stderr, flush=True)
        return left and _public(left, False)

    def renew(self, seconds: float) -> None:
        """Let the lease last `seconds` from now, and more, so as not to write each time."""
        if self._claim and self.seconds_left < seconds:
            self._claim["until"] = time.time() + seconds + _AHEAD_SECONDS
            self._claim["ends"] = _since_start() + seconds + _AHEAD_SECONDS
            self._write(self._session, self._claim)

    def release(self) -> None:
        """Give the board back; more than once does no harm."""
        if self._claim:
            with contextlib.suppress(OSError):
                self._session.unlink()
        self._claim = {}
        self._unlock()

    def reserve(self, *, owner: str, what: str, seconds: float) -> dict[str, Any]:
        """Write and return a reservation, in place of an earlier one; needs the lease."""
        now = time.time()
        entry = {"owner": owner, "what": what, "since": now, "until": now + seconds}
        self._write(self._reserved, entry)
        return _public(entry, True)

    def unreserve(self, *, owner: str, force: bool) -> dict[str, Any] | None:
        """Remove and return the reservation; None when there was none.

        Raises
        ------
        Held
            It is another's, and `force` is not given.
        """
        entry = self._read(self._reserved)
        if entry is None:
            return None
        if entry["owner"] != owner and entry["until"] > time.time() and not force:
            raise Held(_public(entry, True))
        self._reserved.unlink()
        return _public(entry, True)

    def holders(self) -> dict[str, Any]:
        """Return who has the board, ``session``, and who reserved it, ``reserved``."""
        entry = self._read(self._reserved)
        reserved = _public(entry, True) if entry and entry["until"] > time.time() else None
        if self._claim:
            return {"session": _public(self._claim, False), "reserved": reserved}
        session = None
        if (self.folder / "session.lock").exists():
            if self._try_lock():
                self._unlock()
            else:
                session = self._holder()
        return {"session": session, "reserved": reserved}

    def place(self) -> str:
        """Return the identity of this lease on the machine, the same by every path to it."""
        try:
            state = self.folder.stat()
        except OSError:
            return os.path.realpath(str(self.folder))
        return f"{state.st_dev}:{state.st_ino}"

    def _try(self, owner: str, token: str) -> dict[str, Any] | None:
        """Lock the board, and return what a holder left that did not give it back."""
        if not self._try_lock():
            entry = self._read(self._session)
            overdue = entry is not None and _is_over(entry)
            if entry is not None and (overdue or entry.get("token") == token):
                self._end(entry)
            raise Held(self._holder(), "; its time is over, but its process does not end" if overdue else "")
        reserved = self._read(self._reserved)
        if reserved is not None and reserved["owner"] != owner:
            if reserved["until"] > time.time():
                self._unlock()
                raise Held(_public(reserved, True))
            with contextlib.suppress(OSError):
                self._reserved.unlink()
            print(f"lease: {_public(reserved, True)} is over", file=sys.stderr, flush=True)
        return self._read(self._session)

    def _try_lock(self) -> bool:
        """Try to lock; what a child of this process shares stays locked with it."""
        if self._descriptor < 0:
            flags = os.O_RDONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            self._descriptor = os.open(str(self.folder / "session.lock"), flags, 0o644)
            with contextlib.suppress(OSError):  # another user's; the umask may have kept it from the rest
                os.fchmod(self._descriptor, 0o644)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(self) -> None:
        """Close the lock; a child that hangs in the driver and shares it keeps it locked."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _holder(self) -> dict[str, Any]:
        entry = self._read(self._session) or {"owner": "someone", "what": "", "since": 0.0, "until": 0.0}
        return _public(entry, False)

    def _end(self, entry: Mapping[str, Any]) -> None:
        """Kill a holder, if the kernel confirms it: anyone may have written the file."""
        pid, inode = entry.get("pid"), os.fstat(self._descriptor).st_ino
        with contextlib.suppress(OSError):
            # proc(5): "1: FLOCK ADVISORY WRITE 1234 08:01:5678 0 EOF"
            for line in _LOCKS.read_text().splitlines():
                fields = line.split()
                if fields[1:2] == ["FLOCK"] and fields[4] == str(pid) and fields[5].endswith(f":{inode}"):
                    os.kill(int(fields[4]), signal.SIGKILL)

    def _make_folder(self) -> None:
        if self.folder.is_dir():
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        if self.folder.parent.stat().st_mode & stat.S_IWOTH:
            self.folder.chmod(0o777)  # not sticky: whoever has the board writes who it is

    def _write(self, path: Path, entry: Mapping[str, Any]) -> None:
        # Others may write to the folder too, and must be able to read the file.
        write_atomically(path, json.dumps(entry), mode=0o644, follow_links=False)

    def _read(self, path: Path) -> dict[str, Any] | None:
        """Return the entry in a file; None when it is missing or not one of `_write`."""
        try:
            entry = parse_json(read_file(path, _READ_LIMIT, follow_links=False))
        except (OSError, ValueError):
            return None
        if not isinstance(entry, dict):
            return None
        for value in (entry.get("since"), entry.get("until")):
            if not isinstance(value, (int, float)) or not abs(value) < 1e11:  # nor NaN
                return None
        texts = {key: bounded_text(entry.get(key)) for key in ("owner", "what")}
        if entry["until"] > time.time() + _LONGEST_SECONDS:
            return None  # the clock has been set back since, or nobody meant it
        return {**entry, **texts}


def bounded_text(value: Any) -> str:
    """Return a text that can be shown in a line."""
    return re.sub(r"[^ -~]", "?", str(value))[:_TEXT_LIMIT] if value else ""


def _since_start() -> float:
    """Return seconds since the board's start, the same for all its processes; nobody sets this clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def _is_over(entry: Mapping[str, Any]) -> bool:
    """Whether a session's time is over; a runner before 0.3 wrote the time of day alone."""
    ends = entry.get("ends")
    return ends < _since_start() if isinstance(ends, (int, float)) else entry["until"] < time.time()


def _public(entry: Mapping[str, Any], reserved: bool) -> dict[str, Any]:
    """Return what others may know of an entry."""
    return {**{key: entry[key] for key in ("owner", "what", "since", "until")}, "reserved": reserved}
