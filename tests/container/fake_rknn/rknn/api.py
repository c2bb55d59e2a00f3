"""A toolkit that does what ``custom_string`` orders: look about, or break a limit."""

from __future__ import annotations

import importlib
import json
import os
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _attempt(action: Callable[[], object]) -> str:
    try:
        action()
    except OSError as error:
        return type(error).__name__
    return "done"


def _look_about() -> dict[str, Any]:
    """Tell what a job can see and do; every attempt is one that must fail."""
    status = dict(line.split(":\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return {
        "uid": os.getuid(),
        "gid": os.getgid(),
        "groups": os.getgroups(),
        "cwd": os.getcwd(),
        "interfaces": [name for _, name in socket.if_nameindex()],
        "connect": _attempt(lambda: socket.create_connection(("192.0.2.1", 80), timeout=2)),
        "status": {
            name: status[name].strip() for name in ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp")
        },
        "write": {
            folder: _attempt(lambda folder=folder: Path(folder, "probe").write_text("x"))  # type: ignore[misc]
            for folder in ("/", "/etc", "/opt", "/opt/toolkit", "/usr", "/var", "/dev", "/sys", "/proc")
        },
        "scratch": _attempt(lambda: Path("probe").write_text("x")),
        "become_root": _attempt(lambda: os.setuid(0)),
        "engine_socket": os.path.exists("/var/run/docker.sock"),
        "mounts": Path("/proc/self/mounts").read_text(),
    }


def _sparse(place: str) -> None:
    with open(place, "wb") as file:
        file.truncate(10_000_000_000)


_LEAVE: dict[str, Callable[[str], object]] = {
    "link": lambda place: os.symlink("/etc/passwd", place),
    "FIFO": os.mkfifo,
    "large": _sparse,
    "device": lambda place: os.mknod(place, 0o666 | stat.S_IFCHR, os.makedev(1, 5)),
}


def _modules() -> dict[str, Any]:
    """Import what the lock pins and tell the versions."""
    names = ("numpy", "onnx", "onnxruntime", "cv2", "scipy", "torch")
    return {
        "python": "{}.{}".format(*sys.version_info[:2]),
        "versions": {name: str(importlib.import_module(name).__version__) for name in names},
    }


class RKNN:
    """The parts of the vendor's class that the worker calls."""

    def __init__(self, verbose: bool = False) -> None:
        self.order, self.options = "", dict[str, Any]()
        self.input, self.output = "", ""

    def config(self, **options: Any) -> int:
        self.order, self.options = str(options["custom_string"]), options
        return 0

    def load_onnx(self, model: str) -> int:
        self.input = os.path.dirname(model)
        return 0

    def build(self, do_quantization: bool, dataset: str | None) -> int:
        hoard: list[Any] = []
        if self.order == "memory":
            while True:
                hoard.append(b"\1" * (16 << 20))
        if self.order == "hang":
            time.sleep(600)
        if self.order == "processes":
            hoard.extend(subprocess.Popen(["/bin/sleep", "600"]) for _ in range(1000))
        if self.order == "scratch":
            with open("fill", "wb") as file:
                while True:
                    file.write(b"\1" * (1 << 20))
        return 0

    def export_rknn(self, path: str) -> int:
        answer: dict[str, Any] = {"order": self.order}
        self.output = os.path.dirname(path)
        if self.order == "look":
            answer = {
                **_look_about(),
                "write_input": _attempt(lambda: Path(self.input, "probe").write_text("x")),
                "change_input": _attempt(lambda: os.chmod(self.input, 0o777)),
                "replace_output": _attempt(lambda: os.rename(self.output, self.output + "-before")),
            }
        elif self.order == "modules":
            answer = {**_modules(), "options": self.options}
        Path(path).write_text(json.dumps(answer))
        return 0

    def init_runtime(self) -> int:
        return 0

    def inference(self, inputs: Any, data_format: Any) -> Any:
        return [inputs[0]]

    def release(self) -> None:
        """Replace one of the results, which are all written by now: ``leave KIND NAME``."""
        if self.order.startswith("leave "):
            _, kind, name = self.order.split()
            place = os.path.join(self.output, name)
            os.unlink(place)
            _LEAVE[kind](place)
