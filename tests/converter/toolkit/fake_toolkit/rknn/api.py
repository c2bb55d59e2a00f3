"""A toolkit that fails as the vendor's does: ``config(custom_string="STAGE:FAULT")`` says where and how."""

from __future__ import annotations

import ctypes
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy

if "FAKE_IMPORT_ERROR" in os.environ:
    raise ImportError("No module named 'cv2'")

hoard: list[bytes] = []

print("a greeting on stdout, among the answers")


def fresh_memory() -> bytes:
    """Return what the allocator hands out where something else has been."""
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    libc.free.argtypes = [ctypes.c_void_p]
    used = libc.malloc(1000)
    ctypes.memset(used, 0xAA, 1000)
    libc.free(used)
    given = libc.malloc(1000)
    found = ctypes.string_at(given, 1000)
    libc.free(given)
    return found


class RKNN:
    """The calls that the worker makes."""

    def __init__(self, verbose: bool = False) -> None:
        self.fault = ("", "")
        platform.architecture()  # as the vendor's does
        print("I process", os.getpid(), file=sys.stderr)
        print("I fresh memory", set(fresh_memory()), file=sys.stderr)

    def _stage(self, name: str) -> int:
        os.write(1, b"\n")  # as the vendor's C code does, below Python
        print("I rknn " + name, file=sys.stderr)
        stage, fault = self.fault
        if stage != name:
            return 0
        print("\x1b[31mE " + name + ": something is wrong\x1b[0m", file=sys.stderr, flush=True)
        if fault == "raise":
            raise ValueError("the model is invalid!")
        if fault == "segv":
            os.kill(os.getpid(), signal.SIGSEGV)
        if fault == "abort":
            ctypes.CDLL(None).abort()
        if fault == "exit":
            os._exit(1)
        if fault == "system exit":
            sys.exit(3)
        if fault == "hang":
            signal.pthread_sigmask(signal.SIG_BLOCK, set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP})
            sleeper = subprocess.Popen(["sleep", "300"])  # holds the pipes open beyond its parent's death
            print("E sleeper", sleeper.pid, file=sys.stderr, flush=True)
            time.sleep(300)
        if fault == "hoard":
            hoard.append(b"\1" * (80 << 20))
            return 0
        if fault == "over wide":
            print("E REGTASK: The bit width of field value exceeds the limit, target: 1", file=sys.stderr)
            return 0
        if fault == "long":
            raise ValueError("x" * 100_000)
        return -1

    def config(self, **options: Any) -> int:
        stage, _, fault = options.get("custom_string", "").partition(":")
        self.fault = (stage, fault)
        return self._stage("config")

    def load_onnx(self, model: str) -> int:
        with open(model, "rb") as file:
            self.model = file.read()
        return self._stage("load_onnx")

    def build(self, do_quantization: bool, dataset: str | None) -> int:
        self.runs = 0.0
        if do_quantization:
            assert dataset is not None
            with open(dataset, encoding="utf-8") as file:
                names = file.read().split()  # at spaces too, as the vendor's does
            self.runs = sum(float(numpy.load(name).sum()) for name in names)
        with open(os.path.join(tempfile.gettempdir(), "leftover"), "wb") as file:
            file.write(b"x")
        return self._stage("build")

    def export_rknn(self, path: str) -> int:
        with open(path, "wb") as file:
            file.write(b"RKNN" + self.model + str(self.runs).encode())
        return self._stage("export_rknn")

    def init_runtime(self) -> int:
        return self._stage("init_runtime")

    def inference(self, inputs: Any, data_format: Any) -> Any:
        if self._stage("inference"):
            return None
        return [2 * inputs[0]]

    def release(self) -> None:
        """Nothing is held."""
