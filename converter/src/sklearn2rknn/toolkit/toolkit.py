"""The vendor's toolkit: a worker process that turns ONNX into ``.rknn``."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from sklearn2rknn.errors import ConversionError, OptionError, ToolkitError, WorkerOutputError
from sklearn2rknn.toolkit.building import Building, Built, Limits
from sklearn2rknn.toolkit.containers.container import ContainerEnvironment, ContainerWorker
from sklearn2rknn.toolkit.environment_choice import choose_environment
from sklearn2rknn.toolkit.job_folders import WorkerFolders
from sklearn2rknn.toolkit.log_lines import error_lines
from sklearn2rknn.toolkit.venv import ToolkitEnvironment
from sklearn2rknn.toolkit.worker_answers import ANSWER_LIMIT, Answer, Greeting

__all__ = ["Built", "Toolkit", "close_shared_toolkits", "open_toolkit", "shared_toolkit"]


START_SECONDS = 120.0  # importing the toolkit takes 0.2 s warm; a cold disk takes far longer
MODEL_LIMIT = 64 << 20  # bytes, and 16 for each of the ONNX file: the toolkit pads small layers
PRINTED_LIMIT = 1 << 20  # bytes, the last ones, of what the worker prints beside its jobs
GRACE_SECONDS = 10.0  # what the worker may take beyond a job's own limit before it counts as dead

ISOLATIONS = ("failure", "job")

ALLOCATOR = {
    "MALLOC_PERTURB_": "255",
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.mmap_threshold=33554432"
    ":glibc.malloc.trim_threshold=268435456:glibc.malloc.top_pad=16777216",
}
"""The toolkit writes uninitialised memory into its files; glibc then hands out cleared memory.

It keeps what was freed, so that a job does not fault the same pages in again: clearing then costs nothing.
"""


class Toolkit:
    """One version of the toolkit, in a process that the first build starts.

    A context manager; safe to share between threads, which then take turns.

    Parameters
    ----------
    environment : ToolkitEnvironment or ContainerEnvironment
        What to start.
    jobs : path-like, optional
        Where the worker's folders are made; by default the system's temporary folder.
    variables : mapping of str to str, optional
        Added to the worker's environment variables.
    isolation : {"failure", "job"}
        When the toolkit's process is replaced, beside where it has grown: after a conversion that failed, or
        after each one. ``"job"`` is for those who share a toolkit between owners: no conversion meets what
        another has left in memory, for about 0.1 s each.

    Raises
    ------
    OptionError
        There is no such isolation.
    """

    def __init__(
        self,
        environment: ToolkitEnvironment | ContainerEnvironment,
        *,
        jobs: str | os.PathLike[str] | None = None,
        variables: Mapping[str, str] | None = None,
        isolation: str = "failure",
    ) -> None:
        if isolation not in ISOLATIONS:
            raise OptionError(f"isolation is {isolation!r:.60}; it can be {' or '.join(ISOLATIONS)}.")
        self.environment = environment
        self.isolation = isolation
        self._jobs = jobs
        self._variables = dict(variables or {})
        self._lock = threading.RLock()
        self._folders: WorkerFolders | None = None
        self._process: subprocess.Popen[bytes] | ContainerWorker | None = None
        self._output: IO[bytes] | None = None  # the worker's stderr
        self._pending = b""
        self._requests = 0

    @property
    def version(self) -> str:
        """The toolkit's version, such as ``"2.3.2"``."""
        return self.environment.version

    @property
    def is_running(self) -> bool:
        """Whether its process runs, so that a build begins at once."""
        process = self._process
        return process is not None and process.poll() is None

    def __enter__(self) -> Toolkit:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Toolkit {self.version}>"

    def build(
        self,
        model: bytes,
        *,
        config: Mapping[str, Any],
        calibration: npt.NDArray[np.float32] | None = None,
        simulate: npt.NDArray[np.float32] | None = None,
        timeout: float = 300.0,
    ) -> Built:
        """Convert one ONNX model.

        Parameters
        ----------
        model : bytes
            The serialised ONNX graph, with one input of a fixed shape.
        config : mapping
            Arguments of the toolkit's ``config``.
        calibration : numpy.ndarray of float32, shape (runs, *input shape), optional
            Quantise, and find the ranges with these inputs.
        simulate : numpy.ndarray of float32, shape (runs, *input shape), optional
            Run these through the vendor's simulator.
        timeout : float
            Seconds the job may take.

        Raises
        ------
        ConversionError
            The toolkit raised, returned an error or died; the next build starts afresh. Or it wrote a file
            whose program holds values that are too large for their registers.
        LimitError
            It took longer than `timeout`, or met its container's limit of memory.
        ToolkitError
            The toolkit's process cannot be started.
        """
        with self.start(
            model, config=config, calibration=calibration, simulate=simulate, timeout=timeout
        ) as building:
            return building.result()

    @contextlib.contextmanager
    def start(
        self,
        model: bytes,
        *,
        config: Mapping[str, Any],
        calibration: npt.NDArray[np.float32] | None = None,
        simulate: npt.NDArray[np.float32] | None = None,
        timeout: float = 300.0,
    ) -> Iterator[Building]:
        """Start what `build` does, and yield it while it runs; other callers wait.

        Left without its result, by an error for example, the job ends, and the worker with it.
        """
        with self._lock, self._start().job() as folders:
            with folders.create("model.onnx") as file:
                file.write(model)
            for label, runs in (("calibration", calibration), ("simulate", simulate)):
                if runs is not None:
                    with folders.create(f"{label}.npy") as file:
                        np.save(file, runs, allow_pickle=False)
            self._send(
                {
                    "input": str(folders.input),
                    "output": str(folders.output),
                    "config": dict(config),
                    "quantize": calibration is not None,
                    "simulate": simulate is not None,
                    "timeout": timeout,
                    "isolation": self.isolation,
                }
            )
            simulated = None if simulate is None else len(simulate)
            limits = Limits(timeout + GRACE_SECONDS, MODEL_LIMIT + 16 * len(model), simulated)
            building = Building(self, folders, limits)
            try:
                yield building
            except WorkerOutputError:
                self.close()
                raise
            finally:
                if not building.is_answered:
                    self.close()  # its answer would be taken for the next job's

    def close(self) -> None:
        """End the worker; a later build starts another."""
        with self._lock:
            process, self._process = self._process, None
            output, self._output = self._output, None
            folders, self._folders = self._folders, None
            self._pending = b""
            if process is not None:
                assert process.stdin is not None
                assert process.stdout is not None
                with contextlib.suppress(OSError):
                    process.stdin.close()
                try:
                    process.wait(1.0)
                except subprocess.TimeoutExpired:
                    process.terminate()  # it ends its job first
                    try:
                        process.wait(5.0)
                    except subprocess.TimeoutExpired:
                        process.kill()
                        process.wait()
                process.stdout.close()
            if output is not None:
                output.close()
            if folders is not None:
                folders.remove()

    def _start(self) -> WorkerFolders:
        """Start the worker unless it runs; return its folders."""
        if self.is_running and self._folders is not None:
            return self._folders
        self.close()
        self._output = tempfile.TemporaryFile()  # noqa: SIM115  # lives as long as the worker
        try:
            folders = self._folders = WorkerFolders(self._jobs)
            self._process = self.environment.start({**ALLOCATOR, **self._variables}, self._output, folders)
            line = self._read(START_SECONDS)
        except BaseException:
            self.close()
            raise
        try:
            greeting = Greeting.parse(line)
        except ValueError:
            greeting = Greeting(False, "it ended or did not answer")
        if not greeting.ready:
            printed = error_lines(self._printed())
            self.close()
            raise ToolkitError(
                f"Toolkit {self.version} does not start: {greeting.reason}. "
                f"{self.environment.cure}" + (f"\n{printed}" if printed else "")
            )
        return folders

    def _send(self, request: Mapping[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._requests += 1
        try:
            self._process.stdin.write((json.dumps({"id": self._requests, **request}) + "\n").encode())
            self._process.stdin.flush()
        except OSError:
            pass  # it has ended, which is found where its answer is missing
        except BaseException:  # interrupted half-way
            self.close()
            raise

    def has_answer(self, seconds: float) -> bool:
        """Whether the worker has answered a job, or does within some seconds."""
        assert self._process is not None
        assert self._process.stdout is not None
        return b"\n" in self._pending or bool(select.select([self._process.stdout], [], [], seconds)[0])

    def receive(self, seconds: float) -> Answer:
        """Wait for the worker's answer to the job that was sent."""
        line = self._read(seconds)
        try:
            answer = Answer.parse(line)
        except ValueError:
            answer = None
        if answer is None or answer.id != self._requests:
            printed = error_lines(self._printed())
            self.close()
            raise ConversionError("worker", "the toolkit's process ended or did not answer.", printed)
        return answer

    def _read(self, seconds: float) -> bytes:
        """Return one line; an empty one when the worker ends, hangs or sends too much."""
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        deadline = time.monotonic() + seconds
        while b"\n" not in self._pending:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                return b""
            block = os.read(descriptor, 65536)
            if not block or len(self._pending) > ANSWER_LIMIT:
                return b""
            self._pending += block
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def _printed(self) -> str:
        if self._output is None:
            return ""
        size = self._output.seek(0, os.SEEK_END)
        self._output.seek(max(0, size - PRINTED_LIMIT))
        return self._output.read(PRINTED_LIMIT).decode("utf-8", "replace")


def open_toolkit(toolkit: str | None = None, *, isolation: str = "failure") -> Toolkit:
    """Return a toolkit by version, such as ``"2.3.2"`` or ``"2.3.2@container"``.

    `isolation` is that of `Toolkit`: ``"job"`` takes a fresh process for each conversion.

    Raises
    ------
    OptionError
        There is no such version or isolation.
    EngineError
        '@container' was requested, but no container is available.
    ToolkitNotInstallableError
        The environment cannot be made on this machine.
    """
    return Toolkit(choose_environment(toolkit), isolation=isolation)


_shared: dict[tuple[int, str | None], Toolkit] = {}
_shared_lock = threading.Lock()


def shared_toolkit(toolkit: str | None = None) -> Toolkit:
    """Return this process's own toolkit of a version, kept until the process ends."""
    with _shared_lock:
        # By process too: a worker's pipes must not be shared with a fork.
        key = (os.getpid(), toolkit)
        if key not in _shared:
            _shared[key] = open_toolkit(toolkit)
            atexit.register(_shared[key].close)
        return _shared[key]


def is_running(toolkit: Toolkit | str | None) -> bool:
    """Whether a toolkit runs already: this one, or of a version this process's own."""
    with _shared_lock:
        found = toolkit if isinstance(toolkit, Toolkit) else _shared.get((os.getpid(), toolkit))
    return found is not None and found.is_running


def close_shared_toolkits() -> None:
    """End the workers of `shared_toolkit` now; the next build starts them again."""
    with _shared_lock:
        for (process, _), toolkit in _shared.items():
            if process == os.getpid():
                toolkit.close()
