"""The toolkit's worker in a sealed container, as user nobody, without network.

The worker speaks on stdin and stdout as it does in a virtual environment; files pass through two folders that
both sides see under the same path, its input read-only. So the engine must run on this machine.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import subprocess
import threading
from collections.abc import Mapping
from typing import IO, TYPE_CHECKING, BinaryIO

import attrs

from sklearn2rknn.toolkit.containers.engine import connect, typed_engine_errors
from sklearn2rknn.toolkit.containers.image import LABEL_VERSION, Image, find_image
from sklearn2rknn.toolkit.job_folders import WorkerFolders

if TYPE_CHECKING:
    import docker
    from docker.models.containers import Container

NOBODY = "65534:65534"
SCRATCH = "/tmp"
STDERR_LIMIT = 16 << 20  # bytes that are kept of what the worker prints beside its jobs
REMOVAL_SECONDS = 10  # the engine removes what has ended in some tenths of one


@attrs.frozen
class ContainerLimits:
    """What a container may use.

    Attributes
    ----------
    memory : int
        Bytes; swap adds nothing.
    processes : int
    scratch : int
        Bytes of the tmpfs that jobs work in; they count as memory too.
    """

    memory: int = 4 << 30
    processes: int = 256
    scratch: int = 1 << 30


@attrs.frozen
class ContainerEnvironment:
    """A container of a verified image, in which the worker can be started.

    Attributes
    ----------
    version : str
    image : Image
    limits : ContainerLimits
    kind : str
        ``"container"``.
    """

    version: str
    image: Image
    limits: ContainerLimits = ContainerLimits()
    kind: str = "container"

    @property
    def lock_sha256(self) -> str:
        """Digest of the lock that the image was built from."""
        return self.image.lock_sha256

    def to_json(self) -> dict[str, str]:
        """Return what a bundle records of it."""
        return {"environment": self.kind, "lock_sha256": self.lock_sha256, "image": self.image.id}

    @property
    def cure(self) -> str:
        """What to do when the worker does not start."""
        return f"Build the image again: rknn-harness toolkits build {self.version}."

    def start(
        self, variables: Mapping[str, str], output: IO[bytes], folders: WorkerFolders
    ) -> ContainerWorker:
        """Start the worker with environment variables, its stderr going to `output`."""
        return ContainerWorker(self, variables, output, folders)


def container_environment(version: str) -> ContainerEnvironment:
    """Return the container of toolkit `version`.

    Raises
    ------
    EngineError
        No engine answers, or it has no image of this version that was built from this lock.
    """
    return ContainerEnvironment(version, find_image(version))


class ContainerWorker:
    """A running container, with the parts of ``subprocess.Popen`` that a toolkit uses.

    Attributes
    ----------
    stdin, stdout : file
    container : docker.models.containers.Container
    """

    def __init__(
        self,
        environment: ContainerEnvironment,
        variables: Mapping[str, str],
        output: IO[bytes],
        folders: WorkerFolders,
    ) -> None:
        client = connect()
        with typed_engine_errors(f"Starting the container of toolkit {environment.version}"):
            self.container = _create_container(client, environment, variables, folders)
            stream = client.api.attach_socket(
                str(self.container.id), params={"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
            )
            self.container.start()
        # The SDK gives a file over the socket, which cannot be half-closed.
        self._socket: socket.socket = getattr(stream, "_sock", stream)
        self._socket.settimeout(None)
        self._stream = stream
        self.stdin = _Input(self._socket)
        reader, writer = os.pipe()
        self.stdout: BinaryIO = os.fdopen(reader, "rb", buffering=0)
        self._pump = threading.Thread(target=_split, args=(self._socket, writer, output), daemon=True)
        self._pump.start()

    def poll(self) -> int | None:
        """Return None while the worker runs."""
        return None if self._pump.is_alive() else 0

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the worker's end; afterwards the container writes to no folder any more.

        Raises
        ------
        subprocess.TimeoutExpired
        """
        self._pump.join(timeout)
        if self._pump.is_alive():
            raise subprocess.TimeoutExpired(["container", str(self.container.id)], timeout or 0.0)
        self._stream.close()
        self._socket.close()
        import docker.errors
        import requests

        with contextlib.suppress(docker.errors.APIError, requests.RequestException):  # most often: it is gone
            self.container.wait(condition="removed", timeout=REMOVAL_SECONDS)
        return 0

    def terminate(self) -> None:
        """Ask the worker to end."""
        self._signal("SIGTERM")

    def kill(self) -> None:
        """End the container."""
        self._signal("SIGKILL")

    def _signal(self, name: str) -> None:
        import docker.errors

        with typed_engine_errors("Ending the container"):
            try:
                self.container.kill(signal=name)
            except (docker.errors.NotFound, docker.errors.APIError):  # it has ended by itself
                if self._pump.is_alive() and name == "SIGKILL":
                    self._socket.shutdown(socket.SHUT_RDWR)


def _create_container(
    client: docker.DockerClient,
    environment: ContainerEnvironment,
    variables: Mapping[str, str],
    folders: WorkerFolders,
) -> Container:
    from docker.types import LogConfig, Mount

    limits = environment.limits
    return client.containers.create(
        environment.image.id,
        stdin_open=True,
        network_mode="none",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        user=NOBODY,
        init=True,
        mem_limit=limits.memory,
        memswap_limit=limits.memory,
        pids_limit=limits.processes,
        tmpfs={SCRATCH: f"size={limits.scratch},mode=1777"},
        mounts=[
            Mount(str(folders.input), str(folders.input), type="bind", read_only=True),
            Mount(str(folders.output), str(folders.output), type="bind"),
        ],
        environment={**variables, "TOOLKIT_SCRATCH": SCRATCH, "HOME": SCRATCH},
        labels={LABEL_VERSION: environment.version},
        log_config=LogConfig(type="none"),
        auto_remove=True,
    )


class _Input:
    """The worker's stdin: one direction of the socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def write(self, data: bytes) -> int:
        self._connection.sendall(data)
        return len(data)

    def flush(self) -> None:
        """Do nothing: `write` has sent everything."""

    def close(self) -> None:
        with contextlib.suppress(OSError):  # the other side was first
            self._connection.shutdown(socket.SHUT_WR)


def _split(connection: socket.socket, stdout: int, stderr: IO[bytes]) -> None:
    """Split the engine's stream of frames: type (1 stdout), 3 zeros, length, data."""
    room = STDERR_LIMIT
    try:
        with connection.makefile("rb") as stream:
            while len(header := stream.read(8)) == 8:
                kind, length = struct.unpack(">B3xI", header)
                while length and (data := stream.read(min(length, 65536))):
                    length -= len(data)
                    if kind == 1:
                        while data:
                            data = data[os.write(stdout, data) :]
                    else:
                        stderr.write(data[:room])
                        stderr.flush()
                        room -= min(room, len(data))
    except (OSError, ValueError):  # the connection was cut, or nobody reads any more
        pass
    finally:
        os.close(stdout)
