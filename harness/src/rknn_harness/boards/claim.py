"""Who wants a board, and what for: what the lease on the board is asked for with."""

from __future__ import annotations

import getpass
import os
import secrets
import socket

import attrs

__all__ = ["Claim", "owner"]


def owner() -> str:
    """Return whose boards a reservation keeps free: ``RKNN_HARNESS_OWNER``, else user and host."""
    return os.environ.get("RKNN_HARNESS_OWNER") or f"{getpass.getuser()}@{socket.gethostname()}"


@attrs.frozen
class Claim:
    """A wish for a board.

    Attributes
    ----------
    what : str
        What the board is wanted for, as others are told.
    wait : float
        Seconds for which another holder is waited for.
    owner : str
        A reservation by the same owner does not stand in the way.
    token : str
        Sessions of the same token follow each other: a new one ends an older one that was cut off.
    """

    what: str = "rknn-harness"
    wait: float = 5.0  # a session that has just ended may still be on its way out
    owner: str = attrs.field(factory=owner)
    token: str = attrs.field(factory=lambda: secrets.token_hex(16), repr=False)
