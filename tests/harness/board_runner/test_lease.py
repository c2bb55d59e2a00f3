"""Who has a board: one session at a time, whatever became of the one before."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest

from rknn_harness.board_runner.lease import Held, Lease
from rknn_harness.board_runner.loader import MARK
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.providers.virtual import virtual_board
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.errors import BoardError, LeaseError, ProtocolError, ProvisioningError
from tests.waiting import PATIENCE, wait_for_end

MakeBundle = Callable[..., Path]
QUICK = Claim("this test", wait=0.0, owner="ann@here", token="1")
OTHER = Claim("another test", wait=0.0, owner="bob@there", token="2")


@pytest.fixture(scope="module")
def own_board(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Board]:
    with virtual_board(tmp_path_factory.mktemp("board")) as running:
        yield running


@pytest.fixture
def open_board(own_board: Board, stand_in: Path, tmp_path: Path) -> Callable[..., BoardSession]:
    """Makes sessions on a board that nobody has yet."""
    board = attrs.evolve(own_board, lease_folder=str(tmp_path / "lease"))
    return lambda claim, **options: BoardSession(board, runtime=stand_in, claim=claim, **options)


def test_two_sessions_never_have_one_board(open_board: Callable[..., BoardSession]) -> None:
    with open_board(QUICK), pytest.raises(LeaseError) as caught, open_board(OTHER):
        pass
    holder = caught.value.holder
    assert (holder["owner"], holder["what"], holder["reserved"]) == ("ann@here", "this test", False)
    assert "in use by ann@here (this test) until 20" in str(caught.value)
    assert 1700 < holder["until"] - holder["since"] < 1900
    with open_board(OTHER):
        pass


def test_a_holder_that_ends_is_waited_for(open_board: Callable[..., BoardSession]) -> None:
    first = open_board(QUICK).__enter__()
    second = open_board(attrs.evolve(OTHER, wait=20.0))
    os.kill(first.greeting["runner_pid"], signal.SIGKILL)
    with second:
        assert second.lease.holders()["session"] is not None
    first.__exit__(None, None, None)


def test_a_holder_that_was_killed_is_followed_and_logged(
    open_board: Callable[..., BoardSession], caplog: pytest.LogCaptureFixture
) -> None:
    with open_board(QUICK) as first:
        os.kill(first.greeting["runner_pid"], signal.SIGKILL)
        with caplog.at_level(logging.WARNING), open_board(attrs.evolve(OTHER, wait=PATIENCE)):
            assert "taken over from ann@here (this test)" in caplog.text


def test_a_session_that_was_cut_off_is_ended_by_its_successor(
    open_board: Callable[..., BoardSession], bundle: MakeBundle
) -> None:
    with open_board(QUICK) as first:
        os.kill(first.greeting["runner_pid"], signal.SIGSTOP)  # as if on a link that went silent
        with open_board(attrs.evolve(QUICK, wait=PATIENCE)) as second:
            second.models.load(bundle("well"))
        wait_for_end(first.greeting["runner_pid"])


@pytest.mark.parametrize("over", [{"ends": 0.0}, {"ends": None, "until": 1.0}], ids=["", "before 0.3"])
def test_a_holder_whose_time_is_over_is_ended(
    open_board: Callable[..., BoardSession], tmp_path: Path, bundle: MakeBundle, over: dict[str, object]
) -> None:
    with open_board(QUICK) as first:
        pid = first.greeting["runner_pid"]
        os.kill(pid, signal.SIGSTOP)  # or it would end by itself
        file = tmp_path / "lease" / "session.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | over))
        with open_board(attrs.evolve(OTHER, wait=PATIENCE)) as second:
            second.models.load(bundle("well"))
        wait_for_end(pid)


def test_a_board_whose_clock_is_set_meanwhile_stays_with_its_holder(
    open_board: Callable[..., BoardSession], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open_board(QUICK) as first:
        file = tmp_path / "lease" / "session.json"
        years_ago = {"since": 1.0, "until": 1801.0}  # since then the clock was set
        file.write_text(json.dumps(json.loads(file.read_text()) | years_ago))
        with pytest.raises(LeaseError, match="is in use"), open_board(OTHER):
            pass
        assert first.lease.holders()["session"] is not None
    lease = Lease(str(tmp_path / "own"))
    lease.take(owner="a", what="b", token="1", seconds=60, wait=0)
    for now in (0.0, 1e10):
        monkeypatch.setattr(time, "time", lambda now=now: now)
        assert 0 < lease.seconds_left <= 60
    lease.release()


def test_a_reservation_outlives_its_session_and_keeps_others_out(
    open_board: Callable[..., BoardSession],
) -> None:
    with open_board(QUICK) as session:
        made = session.lease.reserve(3600, "soldering", owner="ann@here")
        assert made.owner == "ann@here"
        assert made.until - made.since == pytest.approx(3600)
    with pytest.raises(LeaseError, match=r"is reserved by ann@here \(soldering\)"), open_board(OTHER):
        pass
    with open_board(attrs.evolve(QUICK, token="3")) as session:
        assert session.lease.holders()["reserved"] == made
    with open_board(OTHER, leased=False) as looker:
        assert looker.lease.holders() == {"session": None, "reserved": made}
        with pytest.raises(LeaseError):
            looker.lease.unreserve(owner="bob@there")
        assert looker.lease.unreserve(owner="bob@there", force=True) == made
    with open_board(OTHER) as session:
        assert session.lease.unreserve(owner="bob@there") is None


def test_a_session_that_asks_nothing_ends_with_its_lease(tmp_path: Path) -> None:
    code = (
        "import sys; from rknn_harness.board_runner import __main__ as runner; "
        "runner.LEASE_SECONDS = 0.2; sys.exit(runner.main([sys.argv[1]]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as runner:
        assert runner.stdin is not None
        assert runner.stderr is not None
        runner.stdin.write(b'{"op": "lease", "id": 1, "deadline": 9, "owner": "a", "wait": 0}\n')
        runner.stdin.flush()
        assert runner.wait(PATIENCE) == 3
        assert b"no request came" in runner.stderr.read()
    assert Lease(str(tmp_path / "lease")).holders() == {"session": None, "reserved": None}


def test_a_reservation_ends(open_board: Callable[..., BoardSession]) -> None:
    with open_board(QUICK) as session:
        session.lease.reserve(0, owner="ann@here")
    with open_board(OTHER) as session:
        assert session.lease.holders()["reserved"] is None


def test_nothing_runs_without_the_lease(open_board: Callable[..., BoardSession], bundle: MakeBundle) -> None:
    with open_board(QUICK, leased=False) as session:
        assert session.facts()
        with pytest.raises(BoardError, match="needs the lease") as caught:
            session.models.load(bundle("well"))
        assert caught.value.kind == "bad_request"
        with pytest.raises(BoardError, match="needs the lease"):
            session.lease.reserve(1, owner="ann@here")


@pytest.mark.parametrize(
    "content",
    [b"", b"[1]", b'{"until": "soon"}', b"[" * 9000, b'{"since": 1, "until": NaN}', b"\xff", b'{"until": 1}'],
)
def test_what_others_wrote_is_read_as_data(tmp_path: Path, content: bytes) -> None:
    first, second = Lease(str(tmp_path / "lease")), Lease(str(tmp_path / "lease"))
    first.take(owner="a", what="b", token="1", seconds=60, wait=0)
    for name in ("session.json", "reserved.json"):
        (tmp_path / "lease" / name).write_bytes(content)
    with pytest.raises(Held, match="by someone"):
        second.take(owner="c", what="d", token="2", seconds=60, wait=0)
    first.release()
    assert second.take(owner="c", what="d", token="2", seconds=60, wait=0) is None


def test_only_the_process_that_locked_is_ever_killed(tmp_path: Path) -> None:
    first, second = Lease(str(tmp_path / "lease")), Lease(str(tmp_path / "lease"))
    first.take(owner="a", what="b", token="1", seconds=60, wait=0)
    (tmp_path / "elsewhere").write_text("1")
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    entry = {"owner": "a", "what": "b", "token": "2", "pid": child, "since": 0, "until": 1}
    (tmp_path / "lease" / "session.json").write_text(json.dumps(entry))
    with pytest.raises(Held, match="does not end"):
        second.take(owner="c", what="d", token="2", seconds=60, wait=0.1)
    assert os.waitpid(child, os.WNOHANG) == (0, 0)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_a_link_in_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lease").mkdir()
    (tmp_path / "precious").write_text("kept")
    for name in ("session.json", "reserved.json"):
        (tmp_path / "lease" / name).symlink_to(tmp_path / "precious")
    lease = Lease(str(tmp_path / "lease"))
    lease.take(owner="a", what="b", token="1", seconds=60, wait=0)
    assert (tmp_path / "precious").read_text() == "kept"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "session.lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="symbolic links"):
        Lease(str(tmp_path / "other")).take(owner="a", what="b", token="1", seconds=60, wait=0)


def test_a_folder_below_one_that_all_write_to_is_open_to_all(tmp_path: Path) -> None:
    for mode, expected in ((0o777, 0o777), (0o700, 0o755)):
        parent = tmp_path / oct(mode)
        parent.mkdir()
        parent.chmod(mode)
        Lease(str(parent / "lease")).take(owner="a", what="b", token="1", seconds=60, wait=0)
        assert (parent / "lease").stat().st_mode & 0o777 & ~0o022 == expected & ~0o022
        assert bool((parent / "lease").stat().st_mode & 0o002) is (mode == 0o777)


def test_a_folder_that_cannot_be_made_is_an_error(own_board: Board, stand_in: Path) -> None:
    with (
        pytest.raises(ProvisioningError, match="lease_folder"),
        BoardSession(attrs.evolve(own_board, lease_folder="/proc/1/lease"), runtime=stand_in),
    ):
        pass


def test_a_holder_that_makes_no_sense_is_a_protocol_error(board: Board, tmp_path: Path) -> None:
    script = tmp_path / "python"
    error = {"kind": "leased", "type": "Held", "message": "no", "holder": {"owner": ["$(rm)"]}}
    answer = json.dumps({"id": 1, "ok": False, "error": error})
    start = f"echo '{MARK}start'\nread request"
    script.write_text(f"#!/bin/sh\n{start}\ncat <<'END'\n{answer}\nEND\nsleep 9\n")
    script.chmod(0o755)
    with pytest.raises(ProtocolError, match="holder"), BoardSession(attrs.evolve(board, python=str(script))):
        pass
