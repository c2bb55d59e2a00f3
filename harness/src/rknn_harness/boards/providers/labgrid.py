"""Boards that a labgrid coordinator hands out.

An entry names a place, or tags that the place must have::

    [board.shelf]
    kind = "labgrid"
    coordinator = "lab.example:20408"
    tags = ["board=rk3588"]             # or place = "rock5b-1"
    key = "~/.ssh/board"

Address and user are those of the place's NetworkService; key and host keys are ours. Each acquisition has an
identity of its own with the run's name in it, and a locked file, which the kernel unlocks when the process
ends: so a later run knows which places of ours nobody holds any more, and frees those and no others.
"""

from __future__ import annotations

import contextlib
import fcntl
import getpass
import logging
import os
import re
import secrets
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
from platformdirs import user_cache_path

from rknn_harness.boards.board import Board
from rknn_harness.boards.board_entry import BoardEntry
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.providers.provider import board_provider
from rknn_harness.boards.providers.ssh import SshProvider
from rknn_harness.boards.ssh_settings import ssh_settings
from rknn_harness.errors import BoardRefusedError

if TYPE_CHECKING:
    from rknn_harness.boards.labgrid_place import LabgridPlace, Service

_TAG = re.compile(r"([a-z][a-z0-9_]+)=([A-Za-z0-9_.-]+)")
_COORDINATOR = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9.-]*|\[[0-9A-Fa-f:]+\]):[0-9]{1,5}")

_log = logging.getLogger(__name__)


@board_provider("labgrid")
class LabgridProvider(SshProvider):
    """Reserves and acquires a place, and gives it back; its power is switched by its own driver."""

    _place: LabgridPlace | None = None
    _holder: _Holder | None = None

    @classmethod
    def read(cls, entry: BoardEntry) -> dict[str, Any]:
        """Take the coordinator, the place or its tags, and the keys."""
        coordinator = entry.text("coordinator")
        if not _COORDINATOR.fullmatch(coordinator):
            entry.fail("coordinator", f"is {coordinator!r:.60}, not HOST:PORT; labgrid's usual port is 20408")
        tags = entry.fields.get("tags")
        if "place" in entry.fields:
            place = entry.text("place")
        elif not isinstance(tags, list) or not tags:
            entry.fail("place", "is missing, and so are tags that a place must have")
        else:
            place = ""
            for tag in tags:
                if not isinstance(tag, str) or not _TAG.fullmatch(tag):
                    entry.fail(
                        "tags", f"has {tag!r:.60}; without a place each is NAME=VALUE, as labgrid has it"
                    )
        fields: dict[str, Any] = {"options": {"coordinator": coordinator, "place": place}, "port": 0}
        for field in ("key", "known_hosts"):
            if field in entry.fields:
                fields[field] = entry.file(field)
        return fields

    def acquire(self, folder: Path, claim: Claim) -> Board:
        """Free what dead runs of ours hold, then reserve, wait and acquire."""
        module = _labgrid_place()
        coordinator, place = self.board.options["coordinator"], self.board.options["place"]
        self._holder = _Holder(coordinator, claim.what)
        try:
            self._place = module.LabgridPlace(coordinator, self._holder.identity)
            with _dead_holders(coordinator) as dead:
                for identity in dead:
                    for name in self._place.free(identity):
                        _log.warning("The place %s was freed: %s is dead.", name, identity)
            tags = {"name": place} if place else dict(tag.split("=") for tag in self.board.tags)
            return self._address(self._place.acquire(tags, claim.wait))
        except BaseException:
            self.release()
            raise

    def _address(self, service: Service) -> Board:
        """Return the board as its place is reached, with keys of ours."""
        board = self.board
        try:
            settings = ssh_settings(service.address, user=service.user or None, port=service.port)
        except ValueError as error:
            raise BoardRefusedError(
                f"ssh refuses {service.address!r}, the place's address: {error}"
            ) from None
        found: dict[str, Any] = {
            "user": service.user or settings.user,
            "key": board.key if board.key != Path() else settings.key,
            "known_hosts": board.known_hosts if board.known_hosts != Path() else settings.known_hosts,
        }
        for field, value in found.items():
            if not value:
                where = "the place's NetworkService" if field == "user" else f"the entry of {board.name}"
                raise BoardRefusedError(f"There is no {field} for {service.address}. Write it into {where}.")
        return attrs.evolve(
            board,
            kind="ssh",
            host=settings.host,
            port=settings.port or service.port,
            proxy=settings.proxy,
            **found,
        )

    def check_held(self) -> None:
        """Raise where the coordinator or the exporter is gone, or another has the place."""
        if self._place is not None:
            self._place.service()

    def release(self) -> None:
        """Give the place back; what could not be given back, a later run frees."""
        place, self._place = self._place, None
        holder, self._holder = self._holder, None
        is_free = place is None or place.close()
        if holder is not None:
            holder.end(forget=is_free)

    def power_cycle(self) -> bool:
        """Switch the place's power by its own driver, else run the board's ``power_command``."""
        return (self._place is not None and self._place.power_cycle()) or super().power_cycle()

    def facts(self) -> dict[str, Any]:
        """Return the place, its tags and its holder."""
        return {} if self._place is None else self._place.facts()


def _labgrid_place() -> Any:
    """Import what uses labgrid, and keep the process's own hook for exceptions."""
    hook = sys.excepthook
    try:
        from rknn_harness.boards import labgrid_place
    except ImportError as error:
        raise BoardRefusedError(
            f"Boards of kind 'labgrid' need labgrid ({error}). Install it: "
            "python3 -m pip install 'rknn-harness[labgrid]'"
        ) from error
    finally:
        sys.excepthook = hook
    return labgrid_place


class _Holder:
    """An identity on a coordinator, locked in a file while this process lives."""

    def __init__(self, coordinator: str, what: str) -> None:
        words = [getpass.getuser(), re.sub(r"[^A-Za-z0-9.]+", "-", what), secrets.token_hex(4)]
        name = re.sub(r"[/\s]+", "-", ".".join(words))
        self.identity = f"{socket.gethostname().replace('/', '-')}/{name}"
        folder = _holders_folder()
        folder.mkdir(parents=True, exist_ok=True)
        self._file = folder / f"{name}.lock"
        part = folder / f".{name}.part"
        self._descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        os.write(self._descriptor, f"{coordinator}\n{self.identity}\n".encode())
        os.rename(part, self._file)  # seen by others only once it is locked

    def end(self, *, forget: bool) -> None:
        """Unlock the identity; without `forget` a later run frees what it holds."""
        if forget:
            self._file.unlink(missing_ok=True)
        os.close(self._descriptor)


@contextlib.contextmanager
def _dead_holders(coordinator: str) -> Iterator[list[str]]:
    """Yield the identities whose processes are dead, and forget them once they have been dealt with."""
    with contextlib.ExitStack() as stack:
        dead: dict[Path, str] = {}
        for path in sorted(_holders_folder().glob("*.lock")):
            with contextlib.suppress(OSError):  # another run was faster, or its process lives
                file = stack.enter_context(path.open("rb+"))
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                lines = file.read(4096).decode("utf-8", "replace").splitlines()
                if path.exists() and len(lines) == 2 and lines[0] == coordinator:
                    dead[path] = lines[1]
        yield list(dead.values())
        for path in dead:
            path.unlink(missing_ok=True)


def _holders_folder() -> Path:
    return user_cache_path("rknn-harness") / "labgrid"
