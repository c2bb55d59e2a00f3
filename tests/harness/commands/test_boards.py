"""The commands about boards: who may have one, what it says, and what they exit with."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner, Result

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.commands.boards import Findings
from rknn_harness.commands.cli import main
from rknn_harness.records.outcomes import ExitCode
from rknn_harness.suite.run_options import RunOptions

Ask = Callable[..., Result]


@pytest.fixture
def ask(board: Board, tmp_path: Path) -> Ask:
    """Runs ``rknn-harness board`` on a board that stays up between commands."""
    file = tmp_path / "boards.toml"
    fields = {
        "host": board.host,
        "user": board.user,
        "key": str(board.key),
        "known_hosts": str(board.known_hosts),
        "python": board.python,
        "device": "virtual",
        "lease_folder": str(tmp_path / "lease"),
        "tags": ["rk3588"],
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    file.write_text("\n".join(["[board.desk]", *lines, f"port = {board.port}", "virtual = true"]))

    def run(*words: str, owner: str = "ann@here") -> Result:
        arguments = ["board", *words, "--boards", str(file)]
        arguments += ["--within", "2m"] if words[0] == "list" else ["--board", "desk"]
        return CliRunner().invoke(main, arguments, env={"RKNN_HARNESS_OWNER": owner})

    return run


def test_list_names_the_boards_and_how_they_are(ask: Ask, board: Board) -> None:
    result = ask("list")
    assert result.exit_code == 0
    address = f"board@127.0.0.1:{board.port}"
    assert [line.split() for line in result.output.splitlines()] == [
        ["board", "state", "address", "device", "tags"],
        ["virtual", "virtual", "-", "virtual", "virtual"],
        ["desk", "ready", address, "virtual", "rk3588"],
    ]
    assert json.loads(ask("list", "--json").output)[1] == {
        "name": "desk",
        "kind": "ssh",
        "address": address,
        "device": "virtual",
        "tags": ["rk3588"],
        "state": "ready",
        "why": "",
        "session": None,
        "reserved": None,
    }


def test_list_names_who_has_a_board(ask: Ask, board: Board, tmp_path: Path) -> None:
    assert ask("lock", "--why", "soldering").exit_code == 0
    assert "\n  reserved by ann@here (soldering) until 20" in ask("list").output
    own = attrs.evolve(board, lease_folder=str(tmp_path / "lease"))
    with BoardSession(own, claim=Claim("a run", owner="ann@here")):
        desk = json.loads(ask("list", "--json").output)[1]
        assert "\n  in use by ann@here (a run) until 20" in ask("list").output
    assert desk["state"] == "in use"
    assert (desk["session"]["owner"], desk["reserved"]["what"]) == ("ann@here", "soldering")
    assert ask("unlock").exit_code == 0


def test_list_names_why_a_board_cannot_be_used(board: Board, tmp_path: Path) -> None:
    (tmp_path / "known").touch()
    (tmp_path / "boards.toml").write_text(
        '[board.farm]\nkind = "arm64"\ntree = "t"\nversion = "2.3.2"\n'
        + entry_of("gone", 1, board.key)
        + entry_of("foreign", board.port, board.key)
    )
    words = ["board", "list", "--boards", str(tmp_path / "boards.toml"), "--json", "--within", "2m"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0
    states = {each["name"]: each for each in json.loads(result.stdout)}
    assert {name: state["state"] for name, state in states.items()} == {
        "virtual": "virtual",
        "farm": "on request",
        "gone": "unreachable",
        "foreign": "refused",
    }
    assert "Check that the board is on" in states["gone"]["why"]
    assert "ssh-keyscan" in states["foreign"]["why"]


def test_a_board_that_answers_garbage_is_unreachable_in_one_sentence(board: Board, tmp_path: Path) -> None:
    (tmp_path / "known").touch()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            with contextlib.suppress(OSError):  # until the server is closed
                while True:
                    with server.accept()[0] as caller:
                        caller.sendall(b"\xda<html>" * 99)

        threading.Thread(target=answer, daemon=True).start()
        (tmp_path / "boards.toml").write_text(entry_of("desk", server.getsockname()[1], board.key))
        words = ["board", "list", "--boards", str(tmp_path / "boards.toml"), "--within", "2m"]
        # A program of its own: here pytest has handlers of every log.
        done = subprocess.run([sys.executable, "-m", "rknn_harness", *words], capture_output=True, text=True)
        server.shutdown(socket.SHUT_RDWR)
    assert (done.returncode, done.stderr) == (0, "")
    assert "and not as an SSH server does" in done.stdout


def test_list_waits_no_longer_than_it_may_and_shows_for_whom(
    board: Board, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("sklearn2rknn.progress.QUIET_SECONDS", 0.0)
    (tmp_path / "known").touch()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        (tmp_path / "boards.toml").write_text(entry_of("desk", silent.getsockname()[1], board.key))
        words = ["board", "list", "--boards", str(tmp_path / "boards.toml"), "--within", "1s"]
        result = CliRunner().invoke(main, words)
    assert result.exit_code == 0
    assert "waiting for desk ..." in result.stderr
    assert "It has not answered within 1 s." in result.stdout
    assert "waiting for" not in result.stdout


def entry_of(name: str, port: int, key: Path) -> str:
    return (
        f'[board.{name}]\nhost = "127.0.0.1"\nport = {port}\nuser = "u"\n'
        f'key = "{key}"\nknown_hosts = "known"\n'
    )


def test_there_is_no_such_board() -> None:
    result = CliRunner().invoke(main, ["board", "facts", "--board", "rock"])
    assert result.exit_code == 2
    assert "There is no board 'rock'; there are virtual. Boards of yours are in a file" in result.output


@pytest.fixture
def usual_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "rknn-harness" / "boards.toml"
    path.parent.mkdir()
    path.write_text('[board.desk]\nkind = "virtual"\n[board.shelf]\nkind = "virtual"\n')
    return path


def names(*words: str) -> list[str]:
    result = CliRunner().invoke(main, ["board", "list", "--json", *words])
    assert result.exit_code == 0
    return [each["name"] for each in json.loads(result.stdout)]


def test_boards_of_the_usual_file_are_there_without_an_option(usual_file: Path, tmp_path: Path) -> None:
    assert names() == ["virtual", "desk", "shelf"]
    other = tmp_path / "other.toml"
    other.write_text('[board.bench]\nkind = "virtual"\n')
    assert names("--boards", str(other)) == ["virtual", "bench"]
    usual_file.unlink()
    assert names() == ["virtual"]


def test_a_name_that_the_usual_file_lacks_gets_the_file(usual_file: Path) -> None:
    result = CliRunner().invoke(main, ["board", "facts", "--board", "rock"])
    assert result.exit_code == 2
    assert f"Add an entry [board.rock] to {usual_file}" in " ".join(result.output.split())


def test_the_variable_names_the_board_unless_an_option_does(usual_file: Path) -> None:
    def refusal(*words: str) -> str:
        variable = {"RKNN_HARNESS_BOARD": "cellar"}
        result = CliRunner().invoke(main, ["board", "lock", *words], env=variable)
        assert result.exit_code == 2
        return result.output

    assert "There is no board 'cellar'" in refusal()
    assert "made anew for every command" in refusal("--board", "desk")


def test_a_run_takes_its_boards_from_the_variable(usual_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = []

    def note(options: RunOptions, *_: object) -> ExitCode:
        chosen.append((options.board, options.boards))
        return ExitCode.CLEAN

    monkeypatch.setattr("rknn_harness.suite.invocation.run_suite", note)
    CliRunner().invoke(main, ["run"], env={"RKNN_HARNESS_BOARD": "desk shelf"})
    CliRunner().invoke(main, ["run", "--board", "shelf"], env={"RKNN_HARNESS_BOARD": "desk"})
    CliRunner().invoke(main, ["run"])
    file = str(usual_file)
    assert chosen == [(("desk", "shelf"), file), (("shelf",), file), (("virtual",), file)]


def test_facts_of_the_virtual_board() -> None:
    result = CliRunner().invoke(main, ["board", "facts"])
    assert result.exit_code == 0
    assert json.loads(result.output)["virtual_npu"]


def test_a_lock_keeps_others_out_until_it_is_undone(ask: Ask) -> None:
    result = ask("lock", "--for", "2h", "--why", "soldering")
    assert result.exit_code == 0
    assert "desk is reserved for ann@here until 20" in result.output
    result = ask("lock", owner="bob@there")
    assert result.exit_code == 3
    assert "is reserved by ann@here (soldering) until" in result.output
    assert ask("lock", "--for", "90s").exit_code == 0  # one's own is renewed
    assert ask("unlock", owner="bob@there").exit_code == 3
    result = ask("unlock", "--force", owner="bob@there")
    assert result.exit_code == 0
    assert "no longer reserved for ann@here" in result.output
    assert "was not reserved" in ask("unlock").output
    assert ask("lock", owner="bob@there").exit_code == 0


def test_a_board_in_use_cannot_be_locked_and_can_be_looked_at(ask: Ask, board: Board, tmp_path: Path) -> None:
    own = attrs.evolve(board, lease_folder=str(tmp_path / "lease"))
    with BoardSession(own, claim=Claim("a run", owner="bob@there")):
        result = ask("lock")
        assert result.exit_code == 3
        assert "is in use by bob@there (a run) until" in result.output
        assert ask("facts").exit_code == 0
        result = ask("doctor")
        assert result.exit_code == 0, result.output
        assert "bob@there (a run) until" in result.output


@pytest.mark.parametrize("duration", ["2", "h", "-1h", "31d", "0s", "1w", "2h30m", "1e9d"])
def test_a_time_that_is_none_is_wrong_usage(ask: Ask, duration: str) -> None:
    assert ask("lock", "--for", duration).exit_code == 2


@pytest.mark.parametrize("command", ["lock", "unlock"])
def test_the_virtual_board_cannot_be_locked(command: str) -> None:
    result = CliRunner().invoke(main, ["board", command])
    assert result.exit_code == 2
    assert "made anew" in result.output


def test_a_command_is_printed_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    found, command = Findings(), "sudo curl -fL " + "x/" * 100 + " && echo [b] done"
    found.add_finding({"rule": "librknnrt", "level": "error", "text": "There is none.", "command": command})
    assert found.show() == 3
    assert f"$ {command}" in [line.strip() for line in capsys.readouterr().out.splitlines()]


def test_doctor_tells_what_cannot_be_reached(tmp_path: Path) -> None:
    file = tmp_path / "boards.toml"
    file.write_text('[board.gone]\nhost = "127.0.0.1"\nport = 1\nuser = "x"\nkey = "k"\nknown_hosts = "h"\n')
    result = CliRunner().invoke(main, ["board", "doctor", "--boards", str(file), "--board", "gone"])
    assert result.exit_code == 3
    assert "cannot be read" in " ".join(result.output.split())
