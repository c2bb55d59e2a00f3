"""The runner as one file: its bytes, and Pythons that boards have."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rknn_harness.board_runner import frames
from rknn_harness.boards.board import Board
from rknn_harness.boards.session.runner_archive import runner_archive
from rknn_harness.boards.session.runner_start import start_command


def test_the_archive_is_the_same_for_the_same_sources(stand_in: Path) -> None:
    assert runner_archive() == runner_archive()
    assert runner_archive() != runner_archive(stand_in)
    names = zipfile.ZipFile(io.BytesIO(runner_archive())).namelist()
    assert names == sorted(names)
    assert "scirknn/__init__.py" in names


def test_the_archive_holds_nothing_of_the_harness_but_the_runner() -> None:
    for name in zipfile.ZipFile(io.BytesIO(runner_archive())).namelist():
        assert name.startswith(
            ("__main__.py", "scirknn/", "rknn_harness/__init__.py", "rknn_harness/board_runner/")
        )


def test_the_runner_speaks_over_plain_pipes(tmp_path: Path, stand_in: Path) -> None:
    _talk(sys.executable, tmp_path, stand_in)


def test_the_oldest_python_runs_the_runner(tmp_path: Path, stand_in: Path) -> None:
    python = shutil.which(os.environ.get("SCIRKNN_PYTHON38", "python3.8"))
    probe = [python or "", "-c", "import numpy, sys; assert sys.version_info[:2] == (3, 8)"]
    if python is None or subprocess.run(probe, capture_output=True).returncode:
        pytest.skip("there is no python3.8 with numpy on the path: see `tox -e oldest`")
    _talk(python, tmp_path, stand_in)


def _talk(python: str, folder: Path, runtime: Path) -> None:
    archive = runner_archive(runtime)
    board = Board(name="pipes", python=python, work_folder=str(folder), lease_folder=str(folder / "lease"))
    (folder / "model").write_text("well")
    rows = np.ones((2, 3))
    runner = subprocess.Popen(start_command(board, archive), stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert runner.stdin is not None
    assert runner.stdout is not None
    parser = frames.FrameParser()

    def ask(request: dict[str, object], **arrays: object) -> frames.Frame:
        for block in frames.encode({"id": "x", "deadline": 30, **request}, arrays):
            runner.stdin.write(block)  # type: ignore[union-attr]
        runner.stdin.flush()  # type: ignore[union-attr]
        while True:
            for frame in parser.feed(runner.stdout.read1()):  # type: ignore[union-attr]
                return frame

    with runner:
        assert runner.stdout.readline() == b"rknn-harness runner: send\n"
        runner.stdin.write(archive)
        runner.stdin.flush()
        assert runner.stdout.readline() == b"rknn-harness runner: start\n"
        facts = ask({"op": "facts", "device": "virtual"}).header["facts"]
        assert facts["python"]
        assert facts["virtual"] is True
        refused = ask({"op": "load", "bundle": "../model", "device": "virtual"}).header
        assert refused["error"]["kind"] == "bad_request"
        assert (
            "lease" in ask({"op": "load", "bundle": "model", "device": "virtual"}).header["error"]["message"]
        )
        assert ask({"op": "lease", "owner": "me", "token": "1", "wait": 0}).header["ok"]
        wrong: list[dict[str, object]] = [{"op": 1}, {"op": "none"}, {"op": "hello", "deadline": "soon"}]
        for request in wrong:
            assert ask(request).header["error"]["kind"] == "bad_request"
        assert ask({"op": "load", "bundle": "model", "device": "virtual"}).header["ok"]
        answer = frames.decode_arrays(ask({"op": "predict"}, X=rows))
        assert answer["output"].tolist() == [[2, 2], [2, 2]]
        slow = {"op": "time", "warmup": 0, "min_count": 10, "min_seconds": 0, "max_seconds": 9}
        assert len(frames.decode_arrays(ask(slow, X=rows))["samples"]) == 10
        assert ask({"op": "close"}).header["ok"]
        runner.stdin.write(b"no frame\n")
        runner.stdin.flush()
        error = json.loads(runner.stdout.readline())
        assert (error["id"], error["error"]["kind"]) == (None, "bad_request")
        assert runner.wait(10) == 2
