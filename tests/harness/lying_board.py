"""A virtual board over SSH that computes something else where a model has one output: a run on it fails."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.providers.virtual import VirtualBoard

__all__ = ["boards_toml", "lying_board"]

_LIE = """
import numpy as np

import virtual_npu

truthful = virtual_npu.VirtualNpu.run


def run(self, *arguments, **options):
    output = truthful(self, *arguments, **options)
    return np.full_like(output, 7.0) if output.shape[1] == 1 else output


virtual_npu.VirtualNpu.run = run
"""


@contextlib.contextmanager
def lying_board(folder: Path) -> Iterator[Board]:
    """Run the board; yields how to reach it."""
    lie = folder / "lie"
    lie.mkdir(parents=True)
    (lie / "sitecustomize.py").write_text(_LIE)
    python = folder / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={lie} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    with VirtualBoard(folder / "board") as running:
        yield Board(
            name="liar",
            host=running.board.host,
            port=running.board.port,
            user=running.board.user,
            key=running.board.key,
            known_hosts=running.board.known_hosts,
            python=str(python),
            device="virtual",
            virtual=True,
        )


def boards_toml(path: Path, board: Board) -> None:
    """Write an entry for a board as a user has it; that it is virtual is left to what runs there."""
    fields = ("host", "port", "user", "key", "known_hosts", "python", "device")
    entry = {name: getattr(board, name) for name in fields}
    lines = [f"{name} = {json.dumps(value, default=str)}" for name, value in entry.items()]
    path.write_text("\n".join([f"[board.{board.name}]", *lines, ""]))
