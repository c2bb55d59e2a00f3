"""Which lines of a file of host keys count for a board, and what is reported of the others."""

from __future__ import annotations

from pathlib import Path

import attrs
import paramiko
import pytest

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.ssh.connection import Connection
from rknn_harness.boards.ssh.known_hosts import KnownHosts
from rknn_harness.errors import HostKeyError
from tests.harness.boards.shell import run

OTHER = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFK2w8+SC3kg4h9mww6AQ/R74SgnMdG01BhJmPUCoKev"
SALT = "|1|YWFhYWFhYWFhYWFhYWFhYWFhYWE=|"


def read(tmp_path: Path, text: str, host: str = "[rock.example]:2222") -> KnownHosts:
    path = tmp_path / "known_hosts"
    path.write_text(text)
    return KnownHosts.read(path, host)


@pytest.mark.parametrize(
    ("names", "is_trusted"),
    [
        ("[rock.example]:2222", True),
        ("[ROCK.example]:2222", True),
        ("desk,[rock.example]:2222", True),
        ("[*.example]:2222", True),
        ("[rock.exampl?]:*", True),
        ("*,![rock.example]:2222", False),
        ("rock.example", False),
        ("[rockxexample]:2222", False),
        (paramiko.HostKeys.hash_host("[rock.example]:2222", SALT), True),
        (paramiko.HostKeys.hash_host("rock.example", SALT), False),
        ("|1|x|y", False),
    ],
)
def test_names_match_as_in_openssh(tmp_path: Path, names: str, is_trusted: bool) -> None:
    known = read(tmp_path, f"# comment\n\n{names} {OTHER} a comment\n")
    assert bool(known.keys) is is_trusted
    assert known.remarks == ""


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f"@cert-authority * {OTHER}", "Its line 2 trusts an authority's certificates"),
        ("[rock.example]:2222", "Its line 2 is damaged: remove it with 'sed -i 2d "),
        ("[rock.example]:2222 ssh-ed25519 AAAA", "Its line 2 is damaged"),
        ("[rock.example]:2222 ssh-ed25519 ?", "Its line 2 is damaged"),
        ("[rock.example]:2222 ssh-rsa AAAAB3Nz", "Its line 2 is damaged"),
        ("[rock.example]:2222 ecdsa-sha2-nistp256 AAAAE2Vj", "Its line 2 is damaged"),
        (
            "[rock.example]:2222 ssh-new " + OTHER.split()[1],
            "Its line 2 has a key of the unknown type 'ssh-new'",
        ),
        ("@revoked [rock.example]:2222 ssh-ed25519", "Its line 2 is damaged"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path: Path, line: str, expected: str) -> None:
    known = read(tmp_path, f"# first\n{line}\n")
    assert known.keys == ()
    assert expected in known.remarks


def test_a_damaged_line_does_not_hide_a_good_one(board: Board, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    damaged = f"@cert-authority * {OTHER}\n* ssh-ed25519 AAAA\n@revoked * {OTHER}\n\xff\n"
    known.write_bytes(damaged.encode("latin-1") + board.known_hosts.read_bytes())
    with Connection(attrs.evolve(board, known_hosts=known)) as connection:
        assert run(connection, ["echo", "here"]).stdout == "here\n"


def test_a_revoked_key_is_refused_though_another_line_trusts_it(board: Board, tmp_path: Path) -> None:
    trusted = board.known_hosts.read_text()
    known = tmp_path / "known_hosts"
    known.write_text(trusted + "@revoked * " + trusted.partition(" ")[2])
    with (
        pytest.raises(HostKeyError, match=r"which line 2 of .*known_hosts revokes.*sed -i 2d"),
        Connection(attrs.evolve(board, known_hosts=known)),
    ):
        pass


def test_a_board_without_a_usable_line_gets_the_line_and_the_cure(board: Board, tmp_path: Path) -> None:
    known = tmp_path / "known_hosts"
    known.write_text(f"@cert-authority * {OTHER}\n")
    with (
        pytest.raises(
            HostKeyError, match=r"has none for it\. Its line 1 trusts .* Put it there with 'ssh-keyscan"
        ),
        Connection(attrs.evolve(board, known_hosts=known)),
    ):
        pass
    with (
        pytest.raises(HostKeyError, match="cannot be read: Is a directory"),
        Connection(attrs.evolve(board, known_hosts=tmp_path)),
    ):
        pass
