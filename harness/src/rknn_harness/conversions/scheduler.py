"""Conversions on the workers of a dask.distributed scheduler.

Whoever reaches a scheduler runs code on it and on its workers, and what they answer is unpickled here: so
scheduler, workers and this machine trust each other, and what leaves this machine is encrypted with
certificates of one authority. What the tasks take and give is plain data.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import CancelledError
from typing import Any
from urllib.parse import urlsplit

import attrs

from rknn_harness.conformance.trial import Ending
from rknn_harness.conversions.task import ConversionTask, do_task
from rknn_harness.conversions.versions import differences, versions
from rknn_harness.errors import SchedulerError
from rknn_harness.records.outcomes import Outcome, Stage

CONNECT_SECONDS = 15.0
LONGEST_WITHOUT_WORKER = 60.0
"""Seconds for which a conversion waits without a worker for its toolkit: a nanny restarts one in a few."""

LONGEST_WITHOUT_ANSWER = 60.0
"""Seconds for which a scheduler may not say which workers it has: it does at once, whatever they convert."""


@attrs.frozen
class SchedulerSettings:
    """How to reach a scheduler.

    Attributes
    ----------
    address : str
        Such as ``tcp://127.0.0.1:8786``; ``tls://`` with the files.
    ca, certificate, key : str or None
        Files in PEM: the authority's certificate, and this machine's certificate and key.
    """

    address: str
    ca: str | None = None
    certificate: str | None = None
    key: str | None = None

    def check(self) -> None:
        """Raise unless the connection is encrypted, or stays on this machine.

        Raises
        ------
        SchedulerError
        """
        files = {"--tls-ca": self.ca, "--tls-cert": self.certificate, "--tls-key": self.key}
        missing = [option for option, value in files.items() if value is None]
        url = urlsplit(self.address)
        if url.scheme not in ("tcp", "tls") or not url.hostname:
            raise SchedulerError(
                f"--scheduler is {self.address!r:.100}. Give tcp://127.0.0.1:PORT, or tls://HOST:PORT."
            )
        if url.scheme == "tls" and missing:
            raise SchedulerError(f"--scheduler {self.address} is encrypted. Give {', '.join(missing)} too.")
        if url.scheme == "tcp" and len(missing) < len(files):
            given = next(option for option in files if option not in missing)
            raise SchedulerError(f"{given} is for a scheduler at tls://HOST:PORT, not {self.address}.")
        if url.scheme == "tcp" and not _is_loopback(url.hostname):
            raise SchedulerError(
                f"{self.address} is not encrypted and leaves this machine: who reaches it runs code here. "
                f"Start it with --protocol tls, and give tls://{url.netloc} with {', '.join(files)}."
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def resource_of(toolkit: str) -> str:
    """Return the resource that a worker with a toolkit's version has."""
    return f"toolkit-{toolkit}"


class Scheduler:
    """An engine of conversions; a context manager.

    Parameters
    ----------
    settings : SchedulerSettings
    toolkits : sequence of str
        Versions that the run needs.
    do : callable, optional
        What a worker does with a task's plain data.

    Raises
    ------
    SchedulerError
        There is no dask.distributed here or no scheduler there, no worker has a toolkit, or one has other
        versions of what computes a conversion.
    """

    def __init__(
        self,
        settings: SchedulerSettings,
        toolkits: Sequence[str],
        do: Callable[[Mapping[str, Any]], bytes] = do_task,
    ) -> None:
        settings.check()
        self._address, self._do = settings.address, do
        self._distributed = _distributed()
        self._lost_errors = (
            CancelledError,
            self._distributed.client.ClosedClientError,
            self._distributed.comm.CommClosedError,
        )
        self._is_lost = False
        self._unserved_since: dict[str, float] = {}
        self._futures: dict[str, Any] = {}
        self._client = self._connect(settings)
        try:
            self._check_workers(toolkits)
        except self._lost_errors:
            self._client.close()
            raise SchedulerError(f"The scheduler at {self._address} does not answer any more.") from None
        except BaseException:
            self._client.close()
            raise

    def start(self, tasks: Iterable[ConversionTask], keep: Callable[[str, bytes], object] | None) -> None:
        """Begin with tasks; call `keep`, in a thread, with the packed conversion of each that is done."""

        def keep_result(future: Any) -> None:
            if keep is not None and future.status == "finished":
                with contextlib.suppress(self._distributed.TimeoutError, *self._lost_errors):
                    keep(future.key, future.result(timeout=LONGEST_WITHOUT_ANSWER))

        for task in tasks:
            self._submit(task).add_done_callback(keep_result)

    def is_done(self, key: str) -> bool:
        """Whether nothing is waited for under a key."""
        return key not in self._futures or bool(self._futures[key].done())

    def result(self, task: ConversionTask) -> bytes | Ending:
        """Wait for a packed conversion; return an ending where its worker, or the scheduler, died.

        To the scheduler a worker's death is the fault of every task that waits there too: so each is tried
        again when its turn comes. A scheduler that was lost is not asked again: it has forgotten all tasks.
        """
        reason = (
            f"The scheduler at {self._address} was lost, and with it the conversions that it had not handed "
            "over. Resume the run: with --scheduler once one answers, or without it to convert here."
        )
        try:
            if not self._is_lost:
                return self._convert(task)
        except self._distributed.KilledWorker as error:
            reason = (
                f"Its conversion ended several workers of {self._address}, the last at "
                f"{error.last_worker.address}. Look at that worker's log; it may lack memory."
            )
        except self._lost_errors:
            self._is_lost = True
        except (SchedulerError, OSError) as error:
            reason = f"{self._address} did not convert it: {error or type(error).__name__}"
        finally:
            self._futures.pop(task.key, None)
        return Ending(Outcome.INFRA_ERROR, Stage.SIMULATOR, reason)

    def close(self) -> None:
        """End the connection; what was started and nobody else waits for is dropped."""
        self._futures.clear()
        self._client.close()

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connect(self, settings: SchedulerSettings) -> Any:
        security = None
        if settings.ca is not None:
            security = self._distributed.Security(
                tls_ca_file=settings.ca,
                tls_client_cert=settings.certificate,
                tls_client_key=settings.key,
                require_encryption=True,
            )
        try:
            return self._distributed.Client(
                settings.address, security=security, timeout=CONNECT_SECONDS, set_as_default=False
            )
        except (OSError, TypeError, ValueError) as error:
            raise SchedulerError(
                f"No scheduler answers at {settings.address}: {error!r:.300}. Start one with: dask scheduler"
            ) from None

    def _workers(self) -> Mapping[str, Any]:
        """Ask the scheduler for its workers' resources by their addresses; one that is frozen is lost."""
        try:
            identity = self._client.sync(
                self._client.scheduler.identity, n_workers=-1, callback_timeout=LONGEST_WITHOUT_ANSWER
            )
        except (OSError, self._distributed.TimeoutError):
            raise self._distributed.comm.CommClosedError from None
        return {address: worker["resources"] for address, worker in identity["workers"].items()}

    def _check_workers(self, toolkits: Sequence[str]) -> None:
        workers = self._workers()
        needed = [resource_of(version) for version in toolkits]
        offered = sorted({name for resources in workers.values() for name in resources})
        for name in needed:
            if name not in offered:
                raise SchedulerError(
                    f"No worker of {self._address} has the resource {name}; they have "
                    f"{', '.join(offered) or 'none'}. Start one with: dask worker {self._address} "
                    f"--nthreads 1 --resources {name}=1"
                )
        ours = [address for address, resources in workers.items() if set(needed) & set(resources)]
        found = self._client.run(differences, versions(), workers=ours, on_error="return")
        for address, wrong in found.items():
            if isinstance(wrong, BaseException):
                raise SchedulerError(f"Worker {address} has no rknn-harness as this one: {wrong!r:.300}.")
            if wrong:
                raise SchedulerError(f"Worker {address} has {wrong}. Install the same versions there.")

    def _submit(self, task: ConversionTask) -> Any:
        # Equal keys are one task to the scheduler, whichever of a run's processes asks for it.
        future = self._client.submit(
            self._do, task.to_plain(), key=task.key, resources={resource_of(task.case.toolkit): 1}
        )
        self._futures[task.key] = future
        return future

    def _convert(self, task: ConversionTask) -> bytes:
        future = self._futures.get(task.key) or self._submit(task)
        resource = resource_of(task.case.toolkit)
        try:
            return self._wait(future, resource)
        except self._distributed.KilledWorker:
            self._check_served(resource)
            future.retry()
            return self._wait(future, resource)

    def _wait(self, future: Any, resource: str) -> bytes:
        """Wait as long as there is a worker: a task without one waits for ever."""
        while True:
            try:
                return bytes(future.result(timeout=5))
            except self._distributed.TimeoutError:
                if future.status == "error":  # of the task itself
                    raise future.exception() from None
                self._check_served(resource)

    def _check_served(self, resource: str) -> None:
        now = time.monotonic()
        if any(resource in resources for resources in self._workers().values()):
            self._unserved_since.pop(resource, None)
        elif now - self._unserved_since.setdefault(resource, now) > LONGEST_WITHOUT_WORKER:
            raise SchedulerError(f"no worker has had {resource} for a minute")


def _distributed() -> Any:
    """Import dask.distributed, whose own messages on what is reported here are left out."""
    try:
        import distributed
    except ImportError as error:
        raise SchedulerError(
            f"--scheduler needs dask.distributed ({error}). Install it: "
            "python3 -m pip install 'rknn-harness[dask]'"
        ) from None
    for name in ("distributed", "distributed.client"):  # dask gives each a level of its own
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return distributed
