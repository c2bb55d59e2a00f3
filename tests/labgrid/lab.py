"""A real labgrid coordinator and exporter on 127.0.0.1, whose places are virtual boards."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from rknn_harness.boards.board import Board
from rknn_harness.boards.providers.virtual import VirtualBoard
from tests.waiting import wait_until

PROGRAMS = Path(sys.executable).parent
PLACES = ("a", "b")
TAG = "board=rk3588"


class Lab:
    """Two places, ``a`` with a power port and ``b`` without; a context manager.

    Parameters
    ----------
    folder : pathlib.Path
        Empty.

    Attributes
    ----------
    boards : mapping of str to Board
        By place, the virtual board behind it.
    coordinator : str
    switched : list of str
        What the power port of ``a`` was asked.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.boards: dict[str, Board] = {}
        self.coordinator = "127.0.0.1:0"
        self.switched: list[str] = []
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Lab:
        self.folder.mkdir(parents=True, exist_ok=True)
        for place in PLACES:
            virtual = self._stack.enter_context(VirtualBoard(self.folder / f"board-{place}"))
            self.boards[place] = virtual.board
        self._write_known_hosts()
        tags = dict([TAG.split("=")])
        places = {
            place: {"tags": tags, "matches": [{"exporter": "lab", "group": place, "cls": "*"}]}
            for place in PLACES
        }
        exported = {
            place: {"NetworkService": {"address": board.host, "username": board.user, "port": board.port}}
            for place, board in self.boards.items()
        }
        relay = f"http://127.0.0.1:{self._start_power_switch()}/relay/{{index}}/{{value}}"
        exported["a"]["NetworkPowerPort"] = {"model": "simplerest", "host": relay, "index": "1"}
        # JSON is YAML.
        (self.folder / "places.yaml").write_text(json.dumps(places))
        (self.folder / "exporter.yaml").write_text(json.dumps(exported))
        self.start_coordinator()
        self.start_exporter()
        return self

    def __exit__(self, *_: object) -> None:
        for name in list(self._running):
            self.kill(name)
        self._stack.close()

    def start_coordinator(self) -> None:
        """Start the coordinator, again at the address that it had."""
        (self.folder / "places.yaml").replace(self.folder / "places.before")
        (self.folder / "places.yaml").write_text((self.folder / "places.before").read_text())
        self._start("coordinator", "-l", self.coordinator)
        self.coordinator = self._wait("coordinator", r"listening on (127\.0\.0\.1:\d+)")

    def start_exporter(self) -> None:
        """Start the exporter, and wait until the coordinator has its places."""
        self._start(
            "exporter", "-c", self.coordinator, "-n", "lab", "--hostname", "127.0.0.1", "exporter.yaml"
        )
        self._wait("exporter", r"(connected to coordinator)")
        wait_until(lambda: "lab/b/NetworkService" in self.client("resources"), "the coordinator has them")

    def kill(self, name: str) -> None:
        """End the coordinator or the exporter at once."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def client(self, *words: str) -> str:
        """Return what labgrid's own client prints."""
        command = [str(PROGRAMS / "labgrid-client"), "-x", self.coordinator, *words]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout

    def boards_file(self, path: Path, **fields: object) -> Path:
        """Write a ``boards.toml`` with a board ``shelf`` of this lab."""
        key = self.boards["a"].key
        entry = {
            "kind": "labgrid",
            "coordinator": self.coordinator,
            "key": str(key),
            "known_hosts": str(self.folder / "known_hosts"),
            "python": sys.executable,
            "device": "virtual",
            **fields,
        }
        lines = [f"{name} = {json.dumps(value)}" for name, value in entry.items()]
        path.write_text("\n".join(["[board.shelf]", *lines, ""]))
        return path

    def _write_known_hosts(self) -> None:
        """Put the boards' host keys into one file, and let one key in on both."""
        texts = [board.known_hosts.read_text() for board in self.boards.values()]
        (self.folder / "known_hosts").write_text("".join(texts))
        public = subprocess.run(
            ["ssh-keygen", "-y", "-f", str(self.boards["a"].key)], capture_output=True, text=True, check=True
        ).stdout
        home = self.folder / "board-b" / "home" / ".ssh"
        home.mkdir()
        (home / "authorized_keys").write_text(public)

    def _start_power_switch(self) -> int:
        switched = self.switched

        class Switch(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                switched.append(self.path)
                self.send_response(200)
                self.end_headers()

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Switch)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._stack.callback(server.server_close)
        self._stack.callback(server.shutdown)
        return int(server.server_address[1])

    def _start(self, name: str, *words: str) -> None:
        log = self.folder / f"{name}.log"
        with log.open("wb") as output:
            self._running[name] = subprocess.Popen(
                [str(PROGRAMS / f"labgrid-{name}"), *words],
                cwd=self.folder,
                stdout=output,
                stderr=output,
                env=_environment(),
            )

    def _wait(self, name: str, pattern: str, seconds: float = 60.0) -> str:
        log, end = self.folder / f"{name}.log", time.monotonic() + seconds
        while time.monotonic() < end:
            if match := re.search(pattern, log.read_text()):
                return match[1]
            time.sleep(0.05)
        raise TimeoutError(log.read_text()[-2000:])


def _environment() -> Mapping[str, str]:
    return {**os.environ, "PYTHONUNBUFFERED": "1"}
