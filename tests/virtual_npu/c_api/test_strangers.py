"""Connections that take a place and do nothing with it."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.virtual_npu.c_api.models import INPUT, MODELS
from tests.waiting import PATIENCE
from virtual_npu.c_api.server import Server

LOAD = struct.pack("<II", 1, len(MODELS["float16"])) + MODELS["float16"]
RUN = struct.pack("<II", 5, 0)


@contextlib.contextmanager
def serving(path: Path, request_seconds: float) -> Iterator[None]:
    with Server(path, request_seconds=request_seconds) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def client(path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as connected:
        connected.settimeout(PATIENCE)
        connected.connect(str(path))
        yield connected


def answer(connected: socket.socket) -> int:
    with connected.makefile("rb") as stream:
        code, size = struct.unpack("<iI", stream.read(8))
        stream.read(size)
    return int(code)


@pytest.mark.parametrize("first", [b"", LOAD[:3], LOAD[:8], LOAD[:-1], RUN])
def test_a_connection_without_a_model_is_closed(
    first: bytes, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(tmp_path / "s", 0.2), client(tmp_path / "s") as stranger:
        stranger.sendall(first)
        while stranger.recv(4096):  # a code, perhaps
            pass
    assert "Traceback" not in capfd.readouterr().err


def test_a_connection_that_asks_for_ever_without_a_model_is_closed(tmp_path: Path) -> None:
    with serving(tmp_path / "s", 0.5), client(tmp_path / "s") as stranger:
        with contextlib.suppress(ConnectionError):
            while True:
                stranger.sendall(RUN)
                if not stranger.recv(4096):
                    break


def test_a_connection_with_a_model_may_be_idle(tmp_path: Path) -> None:
    with serving(tmp_path / "s", 3.0), client(tmp_path / "s") as caller:
        caller.sendall(LOAD)
        assert answer(caller) == 0
        with client(tmp_path / "s") as stranger:
            assert stranger.recv(1) == b""  # as much time has passed, and more
        caller.sendall(RUN)
        assert answer(caller) == INPUT  # none was given
