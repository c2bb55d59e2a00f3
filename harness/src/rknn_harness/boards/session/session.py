"""A session on a board: the connection, the runner on one of its channels, and the runner's operations."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np
import paramiko

import scirknn
from rknn_harness.board_runner import frames
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.session.channel import CHUNK_BYTES, ERROR_KINDS, GRACE_SECONDS, TAIL_BYTES, ErrorLog
from rknn_harness.boards.session.model_calls import Prediction, check_rows, starts_with
from rknn_harness.boards.session.runner_archive import RUNNER_NAME, runner_archive
from rknn_harness.boards.session.timing_calls import Timed, is_clock_record
from rknn_harness.boards.ssh.connection import DEAD_LINK_SECONDS, Connection
from rknn_harness.errors import (
    BoardDeadlineError,
    BoardError,
    ConnectionLostError,
    InfraError,
    LeaseError,
    ProtocolError,
    ProvisioningError,
    printable,
)
from scirknn.bundle import metadata_path

if TYPE_CHECKING:
    from rknn_harness.verdicts.reference import Reference

_log = logging.getLogger(__name__)

Array = np.ndarray[Any, Any]

__all__ = ["BoardSession"]

_LEASE_STEP = 20.0  # seconds for which the runner itself waits, deaf to all else


class BoardSession:
    """A runner on a board; a context manager.

    Every method raises `BoardError` when the board answers that it failed, after which the session goes on,
    and `InfraError` when the way to it failed, after which the session is closed: open another.

    Parameters
    ----------
    board : Board
        The virtual board must have been started.
    logs : pathlib.Path, optional
        Folder for what the runner and the vendor's library print, ``<board>-<time>-runner.log``.
    runtime : pathlib.Path, optional
        Folder of the package ``scirknn`` to send instead of the one installed here.
    grace : float
        Seconds by which an answer may be late.
    claim : Claim, optional
        What the board's lease is taken for, which the session holds until it ends.
    leased : bool
        False takes no lease: such a session may ask for facts and for the lease's holders, and load nothing.

    Attributes
    ----------
    connection : Connection
    greeting : dict
        The runner's answer to ``hello``.
    """

    def __init__(
        self,
        board: Board,
        *,
        logs: Path | None = None,
        runtime: Path | None = None,
        grace: float = GRACE_SECONDS,
        claim: Claim | None = None,
        leased: bool = True,
    ) -> None:
        self.board = board
        self._claim = (claim or Claim()) if leased else None
        self.connection = Connection(board)
        self.greeting: dict[str, Any] = {}
        self._logs, self._runtime, self._grace = logs, runtime, grace
        self._channel: paramiko.Channel | None = None
        self._parser = frames.FrameParser()
        self._errors: ErrorLog | None = None
        self._number = 0
        # The bundle that was loaded last: where it is on the board, and its contents.
        self._brought: tuple[str, tuple[object, ...]] = "", ()
        self._there: Array | None = None  # the rows that the runner has

    def __enter__(self) -> BoardSession:
        try:
            self.connection.__enter__()
            self._start()
        except BaseException:
            self._abandon()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._channel is not None and kind is None:
            with contextlib.suppress(InfraError, BoardError):
                self._ask("quit", 2.0)
        self._abandon()

    def hello(self) -> dict[str, Any]:
        """Return ``protocol``, ``scirknn``, ``scirknn_file``, ``runner_pid``, ``child_pid``."""
        header, _ = self._ask("hello", 60.0)
        return {key: value for key, value in header.items() if key not in ("id", "ok", "arrays")}

    def facts(self, *, deadline: float = 30.0) -> dict[str, Any]:
        """Return the board's facts, as `rknn_harness.board_runner.facts.gather` tells them."""
        header, _ = self._ask("facts", deadline, device=self.board.device)
        facts = header.get("facts")
        if not isinstance(facts, dict):
            raise self._broken(ProtocolError, f"{self.board.name} answered 'facts' with {facts!r:.80}.")
        return facts

    def doctor(self, *, deadline: float = 60.0) -> list[dict[str, str]]:
        """Return what `scirknn.doctor` finds there: each ``rule``, ``level``, ``text``, ``command``."""
        header, _ = self._ask("doctor", deadline, device=self.board.device)
        findings = header.get("findings")
        keys = ("rule", "level", "text", "command")
        if not isinstance(findings, list) or not all(
            isinstance(each, dict) and all(isinstance(each.get(key), str) for key in keys)
            for each in findings
        ):
            raise self._broken(ProtocolError, f"{self.board.name} answered 'doctor' with {findings!r:.80}.")
        return [{key: printable(each[key]) for key in keys} for each in findings]

    def holders(self) -> dict[str, dict[str, Any] | None]:
        """Return who has the board, ``session``, and who reserved it, ``reserved``.

        Each is None, or has ``owner``, ``what``, ``since`` and ``until`` (seconds since 1970, the board's
        clock).
        """
        header, _ = self._ask("holders", 10.0)
        return {key: self._holder("holders", header.get(key)) for key in ("session", "reserved")}

    def identity(self) -> tuple[str, str]:
        """Return what tells the board's running kernel from all others, and its lease from others there."""
        header, _ = self._ask("identity", 10.0)
        kernel, lease = header.get("kernel"), header.get("lease")
        if not isinstance(kernel, str) or not isinstance(lease, str):
            raise self._broken(
                ProtocolError, f"{self.board.name} answered 'identity' with {(kernel, lease)!r:.200}."
            )
        return printable(kernel[:200]), printable(lease[:200])

    def reserve(self, seconds: float, what: str = "") -> dict[str, Any]:
        """Keep the board for the claim's owner, whose sessions alone it takes for so long; needs the lease.

        Returns
        -------
        dict
            The reservation, as `holders` has it.
        """
        claim = self._claim or Claim()
        header, _ = self._ask("reserve", 10.0, owner=claim.owner, what=what, seconds=seconds)
        entry = self._holder("reserve", header.get("reserved"))
        if entry is None:
            raise self._broken(ProtocolError, f"{self.board.name} answered 'reserve' with no reservation.")
        return entry

    def unreserve(self, *, owner: str, force: bool = False) -> dict[str, Any] | None:
        """Remove the reservation, with `force` another's too, and return it; None when there was none.

        Raises
        ------
        LeaseError
            It is another's.
        """
        header, _ = self._ask("unreserve", 10.0, owner=owner, force=force)
        return self._holder("unreserve", header.get("reserved"))

    def load(
        self, bundle: Path, *, device: str | None = None, core: str | None = None, deadline: float = 60.0
    ) -> None:
        """Bring a bundle to the board, unless it is there, and load it in place of the one loaded before.

        Parameters
        ----------
        bundle : pathlib.Path
            The model file, on this machine.
        device : {"npu", "virtual"}, optional
            Default: the board's.
        core : str, optional
            One of scirknn's names of cores, such as ``"1"`` or ``"pool"``.
        deadline : float
            Seconds, transfer excluded.

        Raises
        ------
        scirknn.BundleError
            The bundle on this machine is missing or damaged.
        BoardError, InfraError
        """
        found = scirknn.read_bundle(bundle)
        files: dict[str, Path | bytes] = {file.name: file for _, file in found.files()}
        for file in (found.path, metadata_path(found.path)):
            files[file.name] = file
        digests = [variant.sha256 for variant in found.variants]
        contents: tuple[object, ...] = (metadata_path(found.path).read_bytes(), *digests)
        bundle_there, brought = self._brought
        # The one loaded last is loaded again for another core: the board itself checks its digests.
        if brought != contents or PurePosixPath(bundle_there).name != found.path.name:
            try:
                bundle_there = f"{self.connection.put(files)}/{found.path.name}"
            except InfraError:
                self._abandon()
                raise
        with self._installed():
            self._ask("load", deadline, bundle=bundle_there, device=device or self.board.device, core=core)
        self._brought = bundle_there, contents

    def predict(self, X: Any, *, deadline: float = 60.0) -> Prediction:
        """Run the loaded model.

        Parameters
        ----------
        X : array-like, shape (n, n_features)
            Numbers: float32, float64, int32 and int64 cross as they are, others as float64. A table of
            objects crosses as it is.
        deadline : float
            Seconds.
        """
        rows = check_rows(X)
        _, arrays = self._ask_of(rows, "predict", deadline)
        output, predictions = arrays.get("output"), arrays.get("predictions")
        probabilities = arrays.get("probabilities")
        wrong = (
            output is None
            or output.dtype != np.float32
            or output.ndim != 2
            or any(part is not None and part.shape[:1] != rows.shape[:1] for part in arrays.values())
        )
        if output is None or predictions is None or wrong:
            shapes = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
            raise self._broken(
                ProtocolError, f"{self.board.name} answered {len(rows)} rows with {shapes!r:.200}."
            )
        return Prediction(output, predictions, probabilities)

    def outputs(self, X: Any, inputs: Sequence[Array], *, deadline: float = 180.0) -> list[Array]:
        """Run the loaded model on several inputs, in their order.

        Parameters
        ----------
        X : array-like, shape (n, n_features)
        inputs : sequence of numpy.ndarray
            Integers in one axis choose rows of `X`; what has two axes are rows.
        deadline : float
            Seconds for all of them.

        Returns
        -------
        list of numpy.ndarray of float32, shape (len(input), n_outputs)
            The network's output before its head.
        """
        arrays = {
            str(number): check_rows(each) if each.ndim > 1 else np.asarray(each, np.int64)
            for number, each in enumerate(inputs)
        }
        _, answer = self._ask_of(check_rows(X), "outputs", deadline, arrays)
        return self._outputs("outputs", answer, {name: len(array) for name, array in arrays.items()})

    def outputs_on(self, cores: Sequence[str], X: Any, *, deadline: float = 180.0) -> dict[str, Array]:
        """Load the loaded bundle once more for each of `cores`, and run it there.

        Parameters
        ----------
        cores : sequence of str
            As `load` takes them; the last one's model stays loaded.
        X : array-like, shape (n, n_features)
        deadline : float
            Seconds for all of them.

        Returns
        -------
        dict of str to numpy.ndarray of float32, shape (n, n_outputs)
            By core, the network's output before its head.
        """
        rows = check_rows(X)
        with self._installed():
            _, answer = self._ask_of(rows, "cores", deadline, cores=list(cores))
        return dict(zip(cores, self._outputs("cores", answer, dict.fromkeys(cores, len(rows))), strict=True))

    def time(
        self,
        X: Any,
        *,
        warmup: int = 5,
        min_count: int = 200,
        min_seconds: float = 2.0,
        max_seconds: float = 20.0,
        deadline: float | None = None,
    ) -> Timed:
        """Time ``predict`` on the board, and watch its clocks as `Board.clocks` says.

        Parameters
        ----------
        X : array-like, shape (n, n_features)
        warmup : int
            Calls made first and not counted.
        min_count : int
        min_seconds : float
            Sampling ends when both are reached,
        max_seconds : float
            or at this many seconds, warm-up included.
        deadline : float, optional
            Seconds; default `max_seconds` and a minute for the calls that are under way.

        Returns
        -------
        Timed
        """
        bounds: dict[str, Any] = {"min_seconds": min_seconds, "max_seconds": max_seconds}
        seconds = max_seconds + 60.0 if deadline is None else deadline
        header, arrays = self._ask_of(
            check_rows(X),
            "time",
            seconds,
            warmup=warmup,
            min_count=min_count,
            clocks=self.board.clocks,
            **bounds,
        )
        return self._timed("time", header, arrays)

    def time_cpu(
        self,
        X: Any,
        network: Reference,
        *,
        ways: Sequence[str] = ("numpy", "scikit-learn"),
        warmup: int = 5,
        min_count: int = 200,
        min_seconds: float = 2.0,
        max_seconds: float = 20.0,
        deadline: float | None = None,
    ) -> dict[str, Timed]:
        """Time the same network on the board's CPU, each way within the bounds of `time`.

        Parameters
        ----------
        X : array-like, shape (n, n_features)
        network : Reference
            Its layers, head and classes cross as arrays and words.
        ways : sequence of {"numpy", "scikit-learn"}

        Returns
        -------
        dict of str to Timed
            By ``numpy`` (float32) and, where it is installed, ``scikit-learn``.
        """
        bounds = {"min_seconds": min_seconds, "max_seconds": max_seconds}
        seconds = 2 * max_seconds + 60.0 if deadline is None else deadline
        arrays: dict[str, Array] = {}
        # scikit-learn is given what was fitted; numpy computes in float32.
        dtype = np.float64 if "scikit-learn" in ways else np.float32
        for index, layer in enumerate(network.layers):
            arrays[f"weights_{index}"] = layer.weights.astype(dtype)
            arrays[f"bias_{index}"] = layer.bias.astype(dtype)
        if network.classes is not None:
            arrays["classes"] = frames.carried(network.classes)
        words = {"activation": network.activation, "task": network.task, "head": network.head}
        header, answer = self._ask_of(
            check_rows(X),
            "time_cpu",
            seconds,
            arrays,
            ways=list(ways),
            warmup=warmup,
            min_count=min_count,
            clocks=self.board.clocks,
            **words,
            **bounds,
        )
        return {
            name: self._timed("time_cpu", header, {"samples": answer[f"samples {name}"]})
            for name in ("numpy", "scikit-learn")
            if f"samples {name}" in answer
        }

    def load_raw(
        self, model: bytes, core: str = "auto", *, device: str | None = None, deadline: float = 60.0
    ) -> None:
        """Bring a bare model file to the board, unless it is there, and load it in place of any other.

        Parameters
        ----------
        model : bytes
            A ``.rknn`` file.
        core : str
            One of `rknn_harness.board_runner.raw_model.CORES`.
        device : {"npu", "virtual"}, optional
            Default: the board's.
        deadline : float
            Seconds, transfer excluded.
        """
        try:
            folder = self.connection.put({"raw.rknn": model})
        except InfraError:
            self._abandon()
            raise
        device = device or self.board.device
        with self._installed():
            self._ask("raw_load", deadline, file=f"{folder}/raw.rknn", core=core, device=device)

    def run_raw(self, x: Array, *, deadline: float = 60.0) -> Array:
        """Run the bare model on float32 of its input's shape; return float32 as the runtime gives it."""
        _, arrays = self._ask("raw_run", deadline, {"X": np.asarray(x, np.float32)})
        y = arrays.get("y")
        if y is None or y.dtype != np.float32:
            raise self._broken(ProtocolError, f"{self.board.name} answered 'raw_run' without an output.")
        return y

    def time_raw(
        self,
        x: Array,
        *,
        warmup: int = 5,
        min_count: int = 50,
        min_seconds: float = 0.3,
        max_seconds: float = 5.0,
    ) -> Timed:
        """Time the bare runtime calls on `x`, as `time` does whole predictions."""
        header, arrays = self._ask(
            "raw_time",
            max_seconds + 60.0,
            {"X": np.asarray(x, np.float32)},
            warmup=warmup,
            min_count=min_count,
            min_seconds=min_seconds,
            max_seconds=max_seconds,
            clocks=self.board.clocks,
        )
        return self._timed("raw_time", header, arrays)

    def close_model(self, *, deadline: float = 30.0) -> None:
        """Release the loaded model; without one it does nothing."""
        self._ask("close", deadline)

    def _take_lease(self, claim: Claim) -> None:
        end = time.monotonic() + claim.wait
        while True:
            wait = max(min(end - time.monotonic(), _LEASE_STEP), 0.0)
            try:
                header, _ = self._ask(
                    "lease", 30.0 + wait, owner=claim.owner, what=claim.what, token=claim.token, wait=wait
                )
                break
            except LeaseError:
                if time.monotonic() >= end:
                    raise
            except BoardError as error:
                raise ProvisioningError(
                    f"{self.board.name} cannot keep its lease in {self.board.lease_folder}: {error}. Make "
                    "sure that its user may write there, or set 'lease_folder' in the board's entry.",
                    **error.data,
                ) from error
        left = self._holder("lease", header.get("taken_over"))
        if left is not None:
            _log.warning(
                "The lease on %s was taken over from %s (%s), who is gone or whose time was over.",
                self.board.name,
                left["owner"],
                left["what"],
            )
        if header.get("clocks_restored") is True:
            _log.warning("The clocks of %s were put back: an earlier runner was killed.", self.board.name)

    def _holder(self, op: str, entry: Any) -> dict[str, Any] | None:
        """Check what the board says of a holder."""
        if entry is None:
            return None
        try:
            owner, what, since, until = (entry[key] for key in ("owner", "what", "since", "until"))
        except (TypeError, KeyError):
            owner = None
        good = isinstance(owner, str) and isinstance(what, str)
        # Beyond the year 9999 no date can be written.
        if not good or not all(type(value) in (int, float) and abs(value) < 2e11 for value in (since, until)):
            raise self._broken(
                ProtocolError, f"{self.board.name} answered {op!r} with the holder {entry!r:.200}."
            )
        reserved = entry.get("reserved") is True
        owner, what = printable(owner), printable(what)
        return {"owner": owner, "what": what, "since": since, "until": until, "reserved": reserved}

    def _timed(self, op: str, header: Mapping[str, Any], arrays: Mapping[str, Array]) -> Timed:
        clocks = header.get("clocks", {})
        if not isinstance(clocks, dict) or (clocks and not is_clock_record(clocks)):
            raise self._broken(
                ProtocolError, f"{self.board.name} answered {op!r} with the clocks {clocks!r:.200}."
            )
        return Timed(self._samples(op, arrays), clocks)

    def _samples(self, op: str, arrays: Mapping[str, Array]) -> Array:
        samples = arrays.get("samples")
        good = samples is not None and samples.dtype == np.float64 and samples.ndim == 1 and len(samples)
        if samples is None or not good or not np.isfinite(samples).all() or samples.min() < 0:
            raise self._broken(ProtocolError, f"{self.board.name} answered {op!r} without samples.")
        return samples

    def _outputs(self, op: str, arrays: Mapping[str, Array], rows: Mapping[str, int]) -> list[Array]:
        """Check that there is an output of so many rows by each name."""
        found = [arrays.get(name) for name in rows]
        for output, count in zip(found, rows.values(), strict=True):
            if output is None or output.dtype != np.float32 or output.ndim != 2 or len(output) != count:
                shapes = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
                raise self._broken(
                    ProtocolError, f"{self.board.name} answered {op!r} of {rows!r:.80} with {shapes!r:.200}."
                )
        return [output for output in found if output is not None]

    @contextlib.contextmanager
    def _installed(self) -> Iterator[None]:
        """Tell a runtime that is not there from a model that it refuses."""
        try:
            yield
        except BoardError as error:
            if error.type != "DeviceError":
                raise
            raise ProvisioningError(f"{self.board.name}: {error}", **error.data) from error

    def _start(self) -> None:
        folder = self.connection.put({RUNNER_NAME: runner_archive(self._runtime)})
        work_folder = self.board.work_folder
        runner = f"{work_folder}/{folder}/{RUNNER_NAME}"
        command = [self.board.python, runner, work_folder, self.board.lease_folder]
        self._channel = self.connection.channel(command)
        self._errors = ErrorLog(self._channel, self._logs, self.board.name)
        try:
            if self._claim is not None:
                self._take_lease(self._claim)
            self.greeting = self.hello()
        except (ConnectionLostError, BoardError) as error:
            if isinstance(error, ConnectionLostError) and error.data.get("status") is None:
                raise
            raise ProvisioningError(
                f"{self.board.name}: {self.board.python} does not run the runner ({error}). It must be "
                "Python 3.8 or later with numpy: 'sudo apt install python3-numpy' there, or set 'python' in "
                "the board's entry, such as '~/venv/bin/python3'.",
                **error.data,
            ) from error
        if self.greeting.get("protocol") != frames.VERSION:
            raise self._broken(
                ProtocolError, f"{self.board.name} speaks protocol {self.greeting.get('protocol')!r:.40}."
            )
        self.connection.read_back, self.connection.keep = self._digests, self._keep

    def _digests(self, paths: list[str]) -> list[str]:
        return self._told_digests("digests", self._ask("digests", 120.0, paths=paths)[0])

    def _keep(self, folder: str, files: Mapping[str, bytes]) -> list[str]:
        contents = {name: np.frombuffer(content, np.uint8) for name, content in files.items()}
        try:
            return self._told_digests("store", self._ask("store", 60.0, contents, folder=folder)[0])
        except BoardError as error:
            _log.debug("%s did not take the files for %s: %s", self.board.name, folder, error)
            return []

    def _told_digests(self, op: str, header: Mapping[str, Any]) -> list[str]:
        digests = header.get("digests")
        if not isinstance(digests, list) or not all(isinstance(digest, str) for digest in digests):
            raise self._broken(ProtocolError, f"{self.board.name} answered {op!r} with {digests!r:.80}.")
        return digests

    def _ask_of(
        self,
        rows: Array,
        op: str,
        deadline: float,
        arrays: Mapping[str, Array] | None = None,
        **fields: Any,
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        """Ask about rows, which are sent unless the runner has them from the question before."""
        there, given = self._there, dict(arrays or {})
        if there is not None and starts_with(there, rows):
            fields["rows"] = len(rows)
        else:
            given["X"] = rows
            there = rows.copy()
        answer = self._ask(op, deadline, given, **fields)
        self._there = there  # what fails may have ended the process that had them
        return answer

    def _ask(
        self, op: str, deadline: float, arrays: Mapping[str, Array] | None = None, **fields: Any
    ) -> tuple[dict[str, Any], dict[str, Array]]:
        if self._channel is None:
            raise ConnectionLostError(f"The session on {self.board.name} is closed; open another.")
        self._number += 1
        request = {"op": op, "id": self._number, "deadline": deadline, **fields}
        try:
            blocks = frames.encode(request, arrays)
        except frames.ProtocolViolation as error:
            raise ValueError(f"{op!r} cannot be asked of {self.board.name}: {error}.") from None
        try:
            try:
                self._send(self._channel, blocks)
            except OSError:
                # A runner that ended at once closes the channel, sometimes before this is sent.
                if self._channel.status_event.wait(2.0):
                    raise self._ended(self._channel, op) from None
                raise
            frame = self._receive(self._channel, op, deadline + self._grace)
            answered = frames.decode_arrays(frame)
        except frames.ProtocolViolation as error:
            message = f"{self.board.name} answered {op!r} with {error}."
            if self._number == 1:
                message += (
                    " If that is a greeting, keep the start-up files of the board's shell from printing."
                )
            raise self._broken(ProtocolError, message) from error
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self._broken(
                ConnectionLostError,
                f"The connection to {self.board.name} failed during {op!r}: {error or type(error).__name__}. "
                "Check that the board is on and its network up.",
            ) from error
        except BaseException:
            self._abandon()  # an answer may still come, and would be taken for the next one's
            raise
        if frame.header.get("id") != self._number:
            raise self._broken(
                ProtocolError,
                f"{self.board.name} answered request {frame.header.get('id')!r:.40}, not {self._number}.",
            )
        if frame.header.get("ok") is not True:
            self._there, self._brought = None, ("", ())
            raise self._board_error(op, frame.header.get("error"))
        return frame.header, answered

    def _send(self, channel: paramiko.Channel, blocks: list[Any]) -> None:
        channel.settimeout(2 * DEAD_LINK_SECONDS)  # of no progress
        for block in blocks:
            view = memoryview(block)
            while view:
                sent = channel.send(view[:CHUNK_BYTES])  # type: ignore[arg-type]  # takes any bytes-like
                if not sent:
                    raise EOFError("the channel is closed")
                view = view[sent:]

    def _receive(self, channel: paramiko.Channel, op: str, seconds: float) -> frames.Frame:
        end = time.monotonic() + seconds
        while True:
            # A large answer may take longer than the deadline, as long as it keeps coming.
            left = 2 * DEAD_LINK_SECONDS if self._parser.pending else end - time.monotonic()
            channel.settimeout(max(left, 0.001))
            try:
                data = channel.recv(CHUNK_BYTES)
            except TimeoutError:
                raise self._broken(
                    BoardDeadlineError,
                    f"{self.board.name} said nothing for {seconds:g} s after {op!r}: the board or the way "
                    "to it hangs. Power-cycle the board if it cannot be reached otherwise.",
                ) from None
            if not data:
                raise self._ended(channel, op)
            answers = list(self._parser.feed(data))
            if len(answers) > 1 or (answers and self._parser.pending):
                raise frames.ProtocolViolation("more than one frame")
            if answers:
                return answers[0]

    def _ended(self, channel: paramiko.Channel, op: str) -> InfraError:
        """Return what to raise at the end of the runner's output."""
        transport = channel.get_transport()
        # The status follows the output at once, or the connection is gone and none will come.
        if channel.status_event.wait(2.0) and transport.is_active():
            status = channel.exit_status
            if self._parser.pending:
                return self._broken(
                    ProtocolError, f"{self.board.name} answered {op!r} with half a frame.", status=status
                )
            return self._broken(
                ConnectionLostError,
                f"The runner on {self.board.name} ended during {op!r} with status {status} "
                "(-1: by a signal).",
                status=status,
            )
        return self._broken(ConnectionLostError, f"The connection to {self.board.name} ended during {op!r}.")

    def _board_error(self, op: str, error: Any) -> InfraError | BoardError:
        known = isinstance(error, dict) and error.get("kind") in ERROR_KINDS
        if not known or not isinstance(error.get("type"), str) or not isinstance(error.get("message"), str):
            return self._broken(
                ProtocolError, f"{self.board.name} answered {op!r} with the error {error!r:.200}."
            )
        if error["kind"] == "leased":
            holder = self._holder(op, error.get("holder"))
            if holder is None:
                return self._broken(ProtocolError, f"{self.board.name} is leased to nobody.")
            return LeaseError(
                f"{self.board.name}: {error['message']:.600}. Wait for it with --wait, or see "
                f"'rknn-harness board unlock --help'.",
                holder,
                board=self.board.name,
            )
        code = error.get("code")
        return BoardError(
            error["kind"],
            printable(error["type"]),
            error["message"][:TAIL_BYTES],
            code if type(code) is int else None,
            board=self.board.name,
            stderr=self._errors.settled_tail() if self._errors else "",
        )

    def _broken(self, kind: type[InfraError], message: str, **data: Any) -> InfraError:
        """Close the session and return what to raise."""
        errors = self._errors
        self._abandon()
        tail = errors.tail() if errors else ""
        if tail:
            message += f" The runner's last words: {tail[-500:]}"
        return kind(message, board=self.board.name, stderr=tail, **data)

    def _abandon(self) -> None:
        channel, self._channel = self._channel, None
        self.connection.read_back = self.connection.keep = None
        if channel is not None:
            with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                channel.close()
        if self._errors is not None:
            self._errors.finish()
            self._errors = None
        self.connection.close()
