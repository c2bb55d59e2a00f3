"""A place of a labgrid coordinator. Every use of labgrid is here, and its import is left to who needs one.

labgrid promises its command line and its `Target`; the session and the calls behind it may change, hence the
pin of the extra ``rknn-harness[labgrid]`` below version 27. Its import takes a second and sets
`sys.excepthook`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import threading
import time
from collections.abc import Coroutine, Iterator, Mapping
from typing import Any, TypeVar

import attrs
import grpc
from labgrid.driver import ExecutionError
from labgrid.exceptions import InvalidConfigError, NoDriverFoundError
from labgrid.remote.client import ClientSession
from labgrid.remote.client import Error as LabgridError
from labgrid.remote.common import Reservation, ReservationState
from labgrid.remote.generated import labgrid_coordinator_pb2 as messages
from labgrid.remote.generated import labgrid_coordinator_pb2_grpc as calls

from rknn_harness.errors import (
    BoardBusyError,
    BoardRefusedError,
    ConnectionLostError,
    InfraError,
    PowerError,
)

_ANSWER_SECONDS = 30.0
_POLL_SECONDS = 0.5  # a reservation lapses a minute after its last poll

_POWER_DRIVERS = {
    "NetworkPowerPort": "NetworkPowerDriver",
    "NetworkUSBPowerPort": "USBPowerDriver",
    "NetworkSiSPMPowerPort": "SiSPMPowerDriver",
    "PDUDaemonPort": "PDUDaemonDriver",
    "TasmotaPowerPort": "TasmotaPowerDriver",
    "NetworkYKUSHPowerPort": "YKUSHPowerDriver",
}
"""By class of resource the driver that `labgrid-client power` takes for it."""

_TARGETS = threading.Lock()
"""labgrid has one manager of remote resources in a process."""

_POWER_ERRORS = (
    *(OSError, ImportError, LookupError, TypeError, ValueError),
    *(ExecutionError, InvalidConfigError, NoDriverFoundError, LabgridError),
)

Answer = TypeVar("Answer")

# labgrid reports on the root logger what is raised here as an error.
logging.getLogger().addFilter(lambda record: "/labgrid/remote/" not in record.pathname)


@attrs.frozen
class Service:
    """How a place is reached: its NetworkService."""

    address: str
    user: str
    port: int


class _Session(ClientSession):  # type: ignore[misc]
    """A session with an identity of its own, and a connection of its own."""

    identity = ""

    def gethostname(self) -> str:
        return self.identity.partition("/")[0]

    def getuser(self) -> str:
        return self.identity.partition("/")[2]

    def __attrs_post_init__(self) -> None:
        super().__attrs_post_init__()
        options = [
            # The coordinator knows clients by connections, which gRPC shares within a process otherwise.
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.keepalive_time_ms", 7500),
            ("grpc.keepalive_timeout_ms", 10_000),
            ("grpc.http2.ping_timeout_ms", 10_000),
            ("grpc.http2.max_pings_without_data", 0),
        ]
        self.channel = grpc.aio.insecure_channel(self.address, options=options)
        self.stub = calls.CoordinatorStub(self.channel)


class LabgridPlace:
    """A session with a coordinator, and at most one place that it has acquired.

    Parameters
    ----------
    coordinator : str
        ``HOST:PORT``.
    identity : str
        ``HOST/NAME``, by which the coordinator and people know the holder; no other may use it.

    Attributes
    ----------
    name : str
        The place that is acquired, else empty.

    Raises
    ------
    InfraError
        From every method: the coordinator does not answer, or refuses.
    """

    def __init__(self, coordinator: str, identity: str) -> None:
        self.name = ""
        self._coordinator, self._identity, self._token = coordinator, identity, ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True, name="labgrid")
        self._thread.start()
        self._session: _Session | None = None
        try:
            self._session = self._do(self._connect())
        except BaseException:
            self._stop_loop()
            raise

    def free(self, owner: str) -> tuple[str, ...]:
        """Release what a dead owner holds, and cancel what it reserved; return the places."""
        held = [name for name, place in self._places().items() if place.acquired == owner]
        for name in held:
            self._call("ReleasePlace", messages.ReleasePlaceRequest(placename=name, fromuser=owner))
        answer = self._call("GetReservations", messages.GetReservationsRequest())
        for reservation in answer.reservations:
            if reservation.owner == owner:
                self._cancel(reservation.token)
        return tuple(held)

    def acquire(self, tags: Mapping[str, str], wait: float) -> Service:
        """Reserve a place with these tags, wait for it, acquire it; return how it is reached.

        Parameters
        ----------
        tags : mapping of str to str
            ``name`` is a place's name.
        wait : float
            Seconds.

        Raises
        ------
        BoardBusyError
            Others have all of them.
        BoardRefusedError
            There is none, or the one that was handed out cannot be reached: it is given back.
        """
        self._reserve(tags, wait)
        return self.service()

    def service(self) -> Service:
        """Return how the place is reached, if it is still ours and its exporter is there.

        Raises
        ------
        BoardRefusedError
        """
        if self._session is None or self._session.stopping.is_set():
            raise BoardRefusedError(
                f"The coordinator {self._coordinator} is gone, and nobody keeps the place {self.name} "
                "for this run. Go on with the run once it is back."
            )
        place = self._places().get(self.name)
        if place is None or place.acquired != self._identity:
            holder = "nobody" if place is None else place.acquired or "nobody"
            raise BoardRefusedError(f"The place {self.name} was taken from this run: {holder} has it now.")
        try:
            entries = {cls: each for (_, cls), each in self._session.get_target_resources(place).items()}
            arguments = dict(entries["NetworkService"].args) if entries["NetworkService"].avail else {}
        except (KeyError, LabgridError):
            arguments = {}
        address, user, port = (arguments.get(name) for name in ("address", "username", "port"))
        port = 22 if port is None else port
        is_port = isinstance(port, int) and 0 < port < 1 << 16
        if not (isinstance(address, str) and address and isinstance(user, str) and is_port):
            raise BoardRefusedError(
                f"The place {self.name} has no NetworkService: its exporter is not connected, or has none. "
                f"Look at 'labgrid-client -x {self._coordinator} -p {self.name} show'."
            )
        return Service(address, user, port)

    def facts(self) -> dict[str, Any]:
        """Return the place's name and tags, and its coordinator."""
        place = self._places().get(self.name)
        return {
            "place": self.name,
            "coordinator": self._coordinator,
            "holder": self._identity,
            "place_tags": {} if place is None else dict(place.tags),
        }

    def power_cycle(self) -> bool:
        """Switch the place off and on by its own driver; return False where it has none.

        Raises
        ------
        PowerError
        """
        self.service()
        assert self._session is not None
        try:
            with _TARGETS:
                target = self._session._get_target(self._places()[self.name])
            try:
                classes = [type(resource).__name__ for resource in target.resources]
                driver = next((_POWER_DRIVERS[each] for each in classes if each in _POWER_DRIVERS), "")
                if driver:
                    self._session._get_driver_or_new(target, driver).cycle()
                return bool(driver)
            finally:
                target.cleanup()
        except _POWER_ERRORS as error:
            raise PowerError(f"The power of the place {self.name} could not be cycled: {error}.") from error

    def close(self) -> bool:
        """Give the place back and end the session; return whether nothing of ours is left there."""
        is_free = True
        try:
            if self.name:
                self._call(
                    "ReleasePlace",
                    messages.ReleasePlaceRequest(placename=self.name, fromuser=self._identity),
                )
            if self._token:
                self._cancel(self._token)  # or the place stays reserved for a minute
        except InfraError:
            # A coordinator that is gone has forgotten us, too.
            is_free = self._session is None or self._session.stopping.is_set()
        finally:
            self.name = self._token = ""
            session, self._session = self._session, None
            if session is not None:
                with contextlib.suppress(InfraError):
                    self._do(_end(session))
            self._stop_loop()
        return is_free

    def _reserve(self, tags: Mapping[str, str], wait: float) -> None:
        wanted = ", ".join(f"{name}={value}" for name, value in tags.items())
        names = [name for name, place in self._places().items() if _has(place, name, tags)]
        if not names:
            known = ", ".join(sorted(self._places())) or "none"
            raise BoardRefusedError(f"{self._coordinator} has no place with {wanted}; there are {known}.")
        request = messages.CreateReservationRequest(
            filters={"main": messages.Reservation.Filter(filter=dict(tags))}, prio=0.0
        )
        reservation = Reservation.from_pb2(self._call("CreateReservation", request).reservation)
        self._token, end = reservation.token, time.monotonic() + wait
        while reservation.state is ReservationState.waiting and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
            poll = messages.PollReservationRequest(token=self._token)
            reservation = Reservation.from_pb2(self._call("PollReservation", poll).reservation)
        if reservation.state is not ReservationState.allocated:
            places = self._places()
            holders = ", ".join(f"{name} by {places[name].acquired or 'a reservation'}" for name in names)
            raise BoardBusyError(
                f"No place with {wanted} was free within {wait:g} s: taken are {holders}. Wait longer, with "
                "--wait, or ask the holder."
            )
        allocated = reservation.allocations.get("main", ())
        if len(allocated) != 1:
            raise BoardRefusedError(f"{self._coordinator} gave {allocated!r:.60}, not one place.")
        (name,) = allocated
        self._call("AcquirePlace", messages.AcquirePlaceRequest(placename=name))
        self.name = name
        assert self._session is not None
        self._do(self._session.sync_with_coordinator())

    def _places(self) -> dict[str, Any]:
        return {} if self._session is None else dict(self._session.places)

    def _cancel(self, token: str) -> None:
        self._call("CancelReservation", messages.CancelReservationRequest(token=token))

    def _call(self, method: str, request: Any) -> Any:
        session = self._session

        async def call() -> Any:  # the loop's own thread has to make it
            assert session is not None
            return await getattr(session.stub, method)(request)

        return self._do(call())

    async def _connect(self) -> _Session:
        session = _Session(self._coordinator, self._loop)
        session.identity = self._identity
        try:
            await session.start()
        except BaseException:
            await session.close()
            raise
        return session

    def _do(self, work: Coroutine[Any, Any, Answer]) -> Answer:
        with _translated(self._coordinator):
            return asyncio.run_coroutine_threadsafe(work, self._loop).result(_ANSWER_SECONDS)

    def _stop_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_ANSWER_SECONDS)


async def _end(session: _Session) -> None:
    await session.stop()
    await session.close()


def _has(place: Any, name: str, tags: Mapping[str, str]) -> bool:
    own = {**place.tags, "name": name}
    return all(own.get(tag) == value for tag, value in tags.items())


@contextlib.contextmanager
def _translated(coordinator: str) -> Iterator[None]:
    """Turn the errors of labgrid and gRPC into `InfraError`."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.UNAVAILABLE:
            raise ConnectionLostError(
                f"The coordinator {coordinator} does not answer: {error.details()}."
            ) from error
        raise BoardRefusedError(f"The coordinator {coordinator} refused: {error.details()}.") from error
    except LabgridError as error:
        raise ConnectionLostError(f"The coordinator {coordinator} cannot be reached: {error}.") from error
    except concurrent.futures.TimeoutError as error:
        raise ConnectionLostError(
            f"The coordinator {coordinator} has not answered within {_ANSWER_SECONDS:g} s."
        ) from error
