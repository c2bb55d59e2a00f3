"""The file of boards, and what is said of a wrong one."""

from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from rknn_harness.boards.boards_file import VIRTUAL, Board, read_boards
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.errors import BoardsFileError

GOOD = """
[board.rock]
host = "rock.example"
user = "rock"
key = "keys/rock"
known_hosts = "known_hosts"
tags = ["rk3588"]
power_command = ["pdu", "cycle", "3"]
"""


def test_a_board_is_read_and_the_virtual_one_is_always_there(tmp_path: Path) -> None:
    path = tmp_path / "boards.toml"
    path.write_text(GOOD)
    boards = read_boards(path)
    assert list(boards) == ["virtual", "rock"]
    rock = boards["rock"]
    assert (rock.host, rock.port, rock.device, rock.virtual) == ("rock.example", 22, "npu", False)
    assert rock.key == tmp_path / "keys/rock"
    assert (rock.tags, rock.power_command) == (("rk3588",), ("pdu", "cycle", "3"))
    assert read_boards(None) == {"virtual": VIRTUAL}
    path.write_text(GOOD + "virtual = true")
    assert read_boards(path)["rock"].virtual
    path.write_text(GOOD + 'device = "virtual"')
    assert read_boards(path)["rock"].virtual  # what runs there says it


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("ann@rock.example", ("rock.example", 22, "ann")),
        ("ann@rock.example:2222", ("rock.example", 2222, "ann")),
        ("ssh://ann@rock.example:2222", ("rock.example", 2222, "ann")),
        ("ann@[::1]", ("::1", 22, "ann")),
        ("ann@[::1]:2222", ("::1", 2222, "ann")),
        ("ann@::1", ("::1", 22, "ann")),
    ],
)
def test_a_host_may_have_user_and_port(tmp_path: Path, host: str, expected: tuple[str, int, str]) -> None:
    path = tmp_path / "boards.toml"
    path.write_text(GOOD.replace("rock.example", host).replace('user = "rock"\n', ""))
    rock = read_boards(path)["rock"]
    assert (rock.host, rock.port, rock.user) == expected
    path.write_text(GOOD.replace("rock.example", host).replace('user = "rock"', 'user = "ann"'))
    assert read_boards(path)["rock"] == rock


def test_an_ipv6_address_is_shown_in_brackets(tmp_path: Path) -> None:
    path = tmp_path / "boards.toml"
    path.write_text(GOOD.replace("rock.example", "::1"))
    assert read_boards(path)["rock"].address == "[::1]:22"
    path.write_text(GOOD)
    assert read_boards(path)["rock"].address == "rock.example:22"


def test_a_tilde_is_the_home_on_the_board(tmp_path: Path) -> None:
    """Every command begins there; a shell that would expand it is not asked."""
    path = tmp_path / "boards.toml"
    path.write_text(GOOD + 'python = "~/venv/bin/python3"\nwork_folder = "~/rknn-work"\nlease_folder = "~"\n')
    rock = read_boards(path)["rock"]
    assert (rock.python, rock.work_folder, rock.lease_folder) == ("venv/bin/python3", "rknn-work", ".")
    path.write_text(GOOD + 'python = "~/python3"\nwork_folder = "~//rknn-work"\nlease_folder = "~/"\n')
    rock = read_boards(path)["rock"]
    assert (rock.python, rock.work_folder, rock.lease_folder) == ("./python3", "rknn-work", ".")


def test_a_tilde_is_the_home_for_files_and_commands_alike(board: Board) -> None:
    """A program of that home is not looked up in PATH, and no folder is named '~'."""
    home = board.key.parent / "home"
    (home / "tilde-python").unlink(missing_ok=True)
    (home / "tilde-python").symlink_to(board.python)
    desk = attrs.evolve(
        board, python="~/tilde-python", work_folder="~/tilde-work", lease_folder="~/tilde-lease"
    )
    with BoardSession(desk) as session:
        session.hello()
    assert not (home / "~").exists()
    assert (home / "tilde-work").is_dir()
    assert (home / "tilde-lease").is_dir()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            GOOD + 'work_folder = "~root/x"',
            "work_folder is '~root/x'; write that home in full, as 'echo ~root' shows",
        ),
        (GOOD + 'lease_folder = "~root"', "lease_folder is '~root'; write that home in full"),
        (GOOD + 'python = "~root/python3"', "python is '~root/python3'; write that home in full"),
        (GOOD + 'python = "sudo -n python3"', "'exec sudo -n python3 \"$@\"'"),
        (GOOD.replace('host = "rock.example"\n', ""), "[board.rock] host is missing."),
        (GOOD.replace("host =", "hots ="), "[board.rock] host is missing; 'hots' is no field."),
        (GOOD.replace("rock.example", "b@rock.example"), "host is 'b@rock.example', but user is 'rock'"),
        (GOOD.replace("rock.example", "[::1]:22") + "port = 2", "host is '[::1]:22', but port is 2"),
        (GOOD.replace("rock.example", "rock.example:ssh"), "host is 'rock.example:ssh', not HOST, USER@HOST"),
        (GOOD.replace("rock.example", "rock.example:0"), "host is 'rock.example:0', not HOST"),
        (GOOD.replace("rock.example", "rock.example:22:home"), "host is 'rock.example:22:home', not HOST"),
        (GOOD.replace("rock.example", "[::1"), "host is '[::1', not HOST"),
        (GOOD + "port = 0", "[board.rock] port is 0"),
        (GOOD + "port = true", "[board.rock] port is True"),
        (GOOD + 'device = "gpu"', "[board.rock] device is 'gpu'"),
        (
            GOOD + 'kind = "lorry"',
            "[board.rock] kind is 'lorry'; kinds of boards are arm64, labgrid, ssh, virtual",
        ),
        (GOOD + 'hostname = "x"', "[board.rock] hostname is no field"),
        (GOOD + "virtual = 1", "[board.rock] virtual is 1, not true or false"),
        (GOOD + 'python = "a\\nb"', "[board.rock] python is 'a\\nb'"),
        (GOOD.replace('["rk3588"]', '"rk3588"'), "[board.rock] tags is 'rk3588'"),
        (GOOD.replace('"3"', "3"), "[board.rock] power_command is"),
        ("[board.virtual]", "built in"),
        ("[boards.rock]", "tables named [board.NAME]"),
        ("board = 1", "tables named [board.NAME]"),
        ("board.rock = 1", "write [board.rock]"),
        ("[", "not TOML"),
    ],
)
def test_a_wrong_entry_is_named(tmp_path: Path, text: str, expected: str) -> None:
    path = tmp_path / "boards.toml"
    path.write_text(text)
    with pytest.raises(BoardsFileError) as caught:
        read_boards(path)
    assert expected in str(caught.value)
    assert str(path) in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BoardsFileError, match="No such file"):
        read_boards(tmp_path / "boards.toml")
