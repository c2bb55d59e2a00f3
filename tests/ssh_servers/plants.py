"""What else is done to a board before a session is opened; each lasts as long as its block."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from rknn_harness.boards.session import runner_start
from rknn_harness.boards.ssh import connection
from tests.harness.boards.fault_proxy import FaultProxy
from tests.ssh_servers.servers import Site, script
from tests.waiting import wait_until


@contextlib.contextmanager
def python_of_the_home(site: Site, patch: pytest.MonkeyPatch) -> Iterator[None]:
    script(site.folder / "home/npu/bin/python3", f'exec {sys.executable} "$@"')
    yield


@contextlib.contextmanager
def python_by_script(site: Site, patch: pytest.MonkeyPatch) -> Iterator[None]:
    script(site.folder / "root-python", f'exec env -u SUDO_USER {sys.executable} "$@"')
    yield


@contextlib.contextmanager
def python_without_numpy(site: Site, patch: pytest.MonkeyPatch) -> Iterator[None]:
    script(site.folder / "bare-python", f'exec {sys.executable} -I -S "$@"')
    yield


@contextlib.contextmanager
def sudo_that_asks(site: Site, patch: pytest.MonkeyPatch) -> Iterator[None]:
    script(site.folder / "asking-python", "echo 'sudo: a password is required' >&2; exit 1")
    yield


@contextlib.contextmanager
def modules_in_the_home(site: Site, patch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("hashlib", "numpy", "runpy", "random"):
        (site.folder / f"home/{name}.py").write_text("raise SystemExit('not that one')")
    yield


@contextlib.contextmanager
def slow_link(site: Site, patch: pytest.MonkeyPatch) -> Iterator[None]:
    with FaultProxy(site.port, delay=0.1) as proxy:
        _point_to(site, proxy.port)
        yield


@contextlib.contextmanager
def one_connection_too_many(site: Site, patch: pytest.MonkeyPatch) -> Iterator[None]:
    with contextlib.ExitStack() as stack:

        def has_a_place() -> bool:
            other = stack.enter_context(socket.create_connection((site.address, site.port)))
            return other.recv(4) == b"SSH-"

        wait_until(has_a_place, "the one place is free, and taken")
        yield


@contextlib.contextmanager
def silent_server(site: Site, patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.setattr(connection, "CONNECT_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _point_to(site, listener.getsockname()[1])
        yield


@contextlib.contextmanager
def nobody_listens(site: Site, patch: pytest.MonkeyPatch) -> Iterator[None]:
    _point_to(site, 1)
    yield


@contextlib.contextmanager
def little_patience(site: Site, patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.setattr(runner_start, "START_SECONDS", 0.3)
    yield


@contextlib.contextmanager
def hashed_names(site: Site, patch: pytest.MonkeyPatch) -> Iterator[None]:
    command = ["ssh-keygen", "-q", "-H", "-f", str(site.folder / "known_hosts")]
    subprocess.run(command, check=True, capture_output=True)
    assert "127.0.0.1" not in (site.folder / "known_hosts").read_text()
    yield


def _point_to(site: Site, port: int) -> None:
    """Have entry and file of host keys name another port of loopback."""
    for name in ("boards.toml", "known_hosts"):
        path = site.folder / name
        path.write_text(path.read_text().replace(str(site.port), str(port)))
