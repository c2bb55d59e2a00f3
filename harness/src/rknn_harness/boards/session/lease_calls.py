"""The board's lease: taken, held, reserved."""

from __future__ import annotations

import logging
import time
from typing import Any

from rknn_harness.boards.claim import Claim, Holder
from rknn_harness.boards.session.channel import RunnerChannel
from rknn_harness.errors import BoardError, LeaseError, ProvisioningError

_LEASE_STEP = 20.0  # seconds for which the runner itself waits, deaf to all else

_log = logging.getLogger(__name__)


class LeaseCalls:
    """Requests about the board's lease."""

    def __init__(self, runner: RunnerChannel) -> None:
        self._runner = runner

    def take(self, claim: Claim) -> None:
        """Take the lease, which lasts as long as the session.

        Raises
        ------
        LeaseError
            Another has the board for longer than the claim waits.
        ProvisioningError
            The board cannot write its lease.
        """
        board, end = self._runner.board, time.monotonic() + claim.wait
        fields: dict[str, Any] = {"owner": claim.owner, "what": claim.what, "token": claim.token}
        while True:
            wait = max(min(end - time.monotonic(), _LEASE_STEP), 0.0)
            try:
                header, _ = self._runner.ask("lease", 30.0 + wait, wait=wait, **fields)
                break
            except LeaseError:
                if time.monotonic() >= end:
                    raise
            except BoardError as error:
                raise ProvisioningError(
                    f"{board.name} cannot keep its lease in {board.lease_folder}: {error}. Make sure that "
                    "its user may write there, or set 'lease_folder' in the board's entry.",
                    **error.data,
                ) from error
        previous = self._holder("lease", header.get("taken_over"))
        if previous is not None:
            _log.warning(
                "The lease on %s was taken over from %s (%s), whose process or time had ended.",
                board.name,
                previous.owner,
                previous.what,
            )
        if header.get("clocks_restored") is True:
            _log.warning("The clocks of %s were put back: an earlier runner was killed.", board.name)

    def holders(self) -> dict[str, Holder | None]:
        """Return who has the board, ``session``, and who reserved it, ``reserved``."""
        header, _ = self._runner.ask("holders", 10.0)
        return {key: self._holder("holders", header.get(key)) for key in ("session", "reserved")}

    def reserve(self, seconds: float, what: str = "", *, owner: str) -> Holder:
        """Reserve the board for an owner's sessions; needs the lease."""
        header, _ = self._runner.ask("reserve", 10.0, owner=owner, what=what, seconds=seconds)
        entry = self._holder("reserve", header.get("reserved"))
        if entry is None:
            raise self._runner.protocol_error("answered 'reserve' with no reservation")
        return entry

    def unreserve(self, *, owner: str, force: bool = False) -> Holder | None:
        """Remove and return the reservation; None when there was none.

        Raises
        ------
        LeaseError
            It is another's, and `force` is not given.
        """
        header, _ = self._runner.ask("unreserve", 10.0, owner=owner, force=force)
        return self._holder("unreserve", header.get("reserved"))

    def _holder(self, op: str, entry: Any) -> Holder | None:
        holder = Holder.from_json(entry)
        if holder is None and entry is not None:
            raise self._runner.protocol_error(f"answered {op!r} with the holder {entry!r:.200}")
        return holder
