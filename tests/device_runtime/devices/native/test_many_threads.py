"""Bound memory with many callers: right, flat, and clean under the address sanitizer."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.counts import counted
from tests.device_runtime.devices.native.conftest import WriteBundle
from tests.virtual_npu.c_api import librknnrt

SCRIPT = Path(__file__).with_name("call_in_threads.py")
OVERFLOW = """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
ctypes.memset(libc.malloc(16), 0, 17)
"""
SANITIZED = "-O1 -g -fsanitize=address -fno-omit-frame-pointer"


def call_in_threads(path: Path, calls: int, **environment: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, SCRIPT, path, str(calls)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
    )
    assert done.returncode == 0, done.stderr
    assert "AddressSanitizer" not in done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


@pytest.mark.usefixtures("library")
def test_10_000_calls_in_8_threads_are_right_and_keep_nothing(write_native_bundle: WriteBundle) -> None:
    """A call that kept its input or answer would keep 6 or 2.5 KiB: 1,000 calls more than is allowed here."""
    done = call_in_threads(write_native_bundle("int8", samples=(64,)), counted(10_000))
    grown = done.pop("grown")
    assert done == {"runtime": "native", "wrong": 0}
    assert grown < 2 << 20


@pytest.mark.usefixtures("library")
def test_a_sanitized_library_finds_nothing(write_native_bundle: WriteBundle, tmp_path: Path) -> None:
    sanitizer = subprocess.run(
        ["gcc", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    )
    if not os.path.isabs(sanitizer.stdout.strip()):
        pytest.skip("gcc has no libasan: the library cannot be sanitized")
    environment = {"LD_PRELOAD": sanitizer.stdout.strip(), "ASAN_OPTIONS": "detect_leaks=0"}  # Python's own
    planted = subprocess.run(
        [sys.executable, "-c", OVERFLOW], capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert "heap-buffer-overflow" in planted.stderr
    library = librknnrt.build(tmp_path / "sanitized", flags=SANITIZED)
    path = write_native_bundle("float16", samples=(64,))
    done = call_in_threads(path, counted(10_000) // 10, SCIRKNN_LIBRKNNRT=str(library), **environment)
    del done["grown"]  # the sanitizer keeps what is freed
    assert done == {"runtime": "native", "wrong": 0}
