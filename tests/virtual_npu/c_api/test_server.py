"""The server behind librknnrt.so: hostile frames and other servers."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.virtual_npu.c_api import librknnrt
from tests.virtual_npu.c_api.models import (
    INPUT,
    MODEL,
    MODELS,
    PARAM,
)

pytestmark = pytest.mark.skipif(bool(librknnrt.missing()), reason=librknnrt.missing())


def _talk(path: Path, data: bytes) -> list[int]:
    """Send bytes, end, and return the codes of the answers."""
    codes: list[int] = []
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(path))
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError):
            return codes
        answers = b""
        while part := client.recv(1 << 16):
            answers += part
    while answers:
        code, size = struct.unpack_from("<iI", answers)
        codes.append(code)
        answers = answers[8 + size :]
    return codes


def _frame(operation: int, payload: bytes = b"") -> bytes:
    return struct.pack("<II", operation, len(payload)) + payload


LOADED = _frame(1, MODELS["float16"])


@pytest.mark.parametrize(
    ("data", "codes"),
    [
        (b"", []),
        (b"\1\0\0", []),
        (_frame(5), [PARAM]),
        (_frame(0) + _frame(77) + _frame(2**32 - 1), [PARAM] * 3),
        (_frame(2, b"k" * 16) + _frame(2, b"") + _frame(2, b"k" * 5000), [PARAM, PARAM, MODEL]),
        (struct.pack("<II", 1, 2**32 - 1) + b"never that long", []),
        (struct.pack("<II", 1, 100) + b"cut", []),
        (LOADED + LOADED, [0, PARAM]),
        (LOADED + _frame(3) + _frame(3, b"12345") + _frame(6) + _frame(6, b"1" * 13), [0] + [PARAM] * 4),
        (LOADED + _frame(4) + _frame(4, bytes(16)) + _frame(4, bytes(1 << 20)), [0, PARAM, INPUT, INPUT]),
        (LOADED + _frame(5, bytes(1000)), [0, PARAM]),
        (LOADED + _frame(4, bytes(16 + 480)) + _frame(5) + _frame(6, bytes(12)), [0, 0, 0, 0]),
    ],
)
def test_malformed_frames_get_codes(server: tuple[Path, int], data: bytes, codes: list[int]) -> None:
    assert _talk(server[0], data) == codes


@settings(max_examples=200, deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 8), st.binary(max_size=40), st.integers(-3, 3)), max_size=6),
)
def test_no_frames_harm_the_server(
    server: tuple[Path, int], loaded: bool, frames: list[tuple[int, bytes, int]]
) -> None:
    data = LOADED if loaded else b""
    for operation, payload, lie in frames:
        data += struct.pack("<II", operation, max(0, len(payload) + lie)) + payload
    assert all(-13 <= code <= 0 for code in _talk(server[0], data))
    assert _talk(server[0], LOADED) == [0]


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s"
    path.write_text("precious")
    with pytest.raises(AssertionError, match="ended before"), librknnrt.serving(path):
        pass
    assert path.read_text() == "precious"


def test_a_second_server_leaves_the_first_one_s_socket(server: tuple[Path, int]) -> None:
    with pytest.raises(AssertionError, match="ended before"), librknnrt.serving(server[0]):
        pass
    assert _talk(server[0], LOADED) == [0]
