"""Who wants a board, and who has it."""

from __future__ import annotations

import getpass
import os
import secrets
import socket
from typing import Any

import attrs

from scirknn.text import printable

_LAST_SECOND = 2e11  # in the year 8307; beyond 9999 no date can be written


def owner() -> str:
    """Return the owner of reservations: ``RKNN_HARNESS_OWNER``, else user and host."""
    return os.environ.get("RKNN_HARNESS_OWNER") or f"{getpass.getuser()}@{socket.gethostname()}"


@attrs.frozen
class Claim:
    """A wish for a board.

    Attributes
    ----------
    what : str
        What the board is wanted for, as others see it.
    wait : float
        Seconds for which another holder is waited for.
    owner : str
        A reservation by the same owner does not exclude it.
    token : str
        Sessions of the same token follow each other: a new one ends an older one that was cut off.
    """

    what: str = "rknn-harness"
    wait: float = 5.0  # a session that has just ended may still be closing
    owner: str = attrs.field(factory=owner)
    token: str = attrs.field(factory=lambda: secrets.token_hex(16), repr=False)


@attrs.frozen
class Holder:
    """Who has a board, or reserved it.

    Attributes
    ----------
    owner, what : str
    since, until : float
        Seconds since 1970, the board's clock.
    reserved : bool
        Whether it is a person's reservation.
    """

    owner: str
    what: str
    since: float
    until: float
    reserved: bool

    @classmethod
    def from_json(cls, entry: Any) -> Holder | None:
        """Read a board's answer; None when it is no holder."""
        try:
            owner, what, since, until = (entry[key] for key in ("owner", "what", "since", "until"))
        except (TypeError, KeyError):
            return None
        if not isinstance(owner, str) or not isinstance(what, str):
            return None
        if not all(type(value) in (int, float) and abs(value) < _LAST_SECOND for value in (since, until)):
            return None
        return cls(printable(owner), printable(what), since, until, entry.get("reserved") is True)

    def to_json(self) -> dict[str, Any]:
        """Return the fields by name."""
        return attrs.asdict(self)
