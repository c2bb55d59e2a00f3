"""``rknn-harness`` with files and folders that are none: a message with the documented exit code."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from rknn_harness.commands.cli import main

HOST = '[board.x]\nhost = "h"\n'
VIRTUAL = '[board.x]\nkind = "virtual"\n'

BOARDS: dict[str, tuple[bytes, str]] = {
    "plural": (b'[boards.x]\nhost = "a"\n', "boards are tables named [board.NAME]"),
    "nested plural": (b'[boards.x.y]\nhost = "a"\n', "boards are tables named [board.NAME]"),
    "list of plural": (b'[[boards]]\nhost = "a"\n', "boards are tables named [board.NAME]"),
    "nested": (b'[board.x.y]\nhost = "a"\n', "[board.x] host is missing"),
    "list": (b'[[board]]\nhost = "a"\n', "'board' is no table"),
    "number": (b"board = 1\n", "'board' is no table"),
    "misspelt": (b'[board.x]\nhots = "h"\n', "[board.x] host is missing; 'hots' is no field."),
    "binary": (bytes(range(256)), "is not TOML"),
    "deep": (b"a = " + b"[" * 100_000, "is not TOML"),
    "huge number": (f"{HOST}port = {'9' * 5000}".encode(), "is not TOML"),
    "number too large": (f"{HOST}port = {'9' * 4000}".encode(), "[board.x] port is"),
    "home of nobody": (f'{HOST}key = "~nobody-of-this-name/k"'.encode(), "no such user's home"),
    "not a number": (f"{VIRTUAL}boot_seconds = nan".encode(), "boot_seconds is nan"),
    "name that commands a terminal": (b'[board."a\\u001b[2J"]\nhost = "h"', "cannot be a board's name"),
    "host that commands a terminal": (b'[board.x]\nhost = "\\u001b[2J"', "host is '\\x1b[2J'"),
    "host that is reversed": ('[board.x]\nhost = "\u202eh"'.encode(), "not a text of one line"),
    "word of tags": (f'{VIRTUAL}tags = "a"'.encode(), "tags is 'a'"),
}
EVERY_BOARD_COMMAND = (
    ["board", "list"], ["board", "facts"], ["board", "doctor"], ["board", "lock"], ["board", "unlock"],
)  # fmt: skip


@pytest.mark.parametrize("case", BOARDS)
def test_file_of_boards_that_is_none_is_wrong_usage(case: str, tmp_path: Path) -> None:
    content, expected = BOARDS[case]
    path = tmp_path / "boards.toml"
    path.write_bytes(content)
    for command in EVERY_BOARD_COMMAND:
        result = CliRunner().invoke(main, [*command, "--boards", str(path)])
        assert (result.exit_code, type(result.exception)) == (2, SystemExit)
        assert expected in result.stderr
        assert str(path) in result.stderr
        assert "\x1b" not in result.output
        assert "\u202e" not in result.output


COMMANDS: dict[str, tuple[list[str], int, str]] = {
    "folder of boards": (["board", "list", "--boards", "folder"], 2, "is a directory"),
    "no file of boards": (["board", "list", "--boards", "missing"], 2, "does not exist"),
    "no board": (["board", "facts", "--board", "nobody"], 2, "There is no board 'nobody'"),
    "no run to report": (["report", "missing"], 2, "does not exist"),
    "file as run": (["report", "empty.npy"], 2, "is a file"),
    "empty run": (["report", "folder"], 3, "folder is not a run's folder"),
    "binary run": (["report", "binary"], 3, "binary"),
    "empty runs to compare": (["compare", "folder", "folder"], 3, "folder is not a run's folder"),
    "empty run in a trend": (["trend", "folder"], 3, "folder is not a run's folder"),
    "empty run to replay": (["replay", "folder", "x"], 3, "folder is not a run's folder"),
    "empty corpus to replay": (["replay", "folder"], 3, "folder is no entry of a corpus"),
    "empty facts": (["probe", "--check", "empty.npy"], 3, "empty.npy is not JSON"),
    "binary facts": (["probe", "--check", "binary/cases.jsonl"], 3, "cases.jsonl"),
    "folder of facts": (["probe", "--check", "folder"], 2, "is a directory"),
    "no question": (["probe", "--only", "x"], 2, "There is no question 'x'"),
    "no toolkit to verify": (["toolkits", "verify", "9"], 2, "There is no toolkit '9'"),
    "no toolkit to lock": (["toolkits", "lock", "9"], 2, "There is no toolkit '9'"),
    "no toolkit to remove": (["toolkits", "remove", "9"], 2, "There is no toolkit '9'"),
    "name that is no UTF-8": (["report", "\udcff\x1b"], 2, "does not exist"),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_command_ends_with_a_message(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("empty.npy").touch()
    Path("binary").mkdir()
    for name in ("cases.jsonl", "manifest.json", "plan.jsonl"):
        Path("binary", name).write_bytes(bytes(range(256)))
    arguments, code, expected = COMMANDS[case]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, type(result.exception)) == (code, SystemExit)
    assert expected in result.stderr


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_full_disk_and_closed_pipe_end_without_a_traceback(
    unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    program = [sys.executable, "-m", "rknn_harness", "board", "list"]
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert "No space left on device" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 3
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(program, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert "Traceback" not in ended.stderr
    assert ended.returncode == 3
