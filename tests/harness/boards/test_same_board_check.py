"""Two entries that are one board are found before a run begins, whatever they call it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from rknn_harness.boards.boards_file import VIRTUAL, Board
from rknn_harness.boards.same_board_check import check_boards_differ
from rknn_harness.commands.cli import main
from rknn_harness.errors import SameBoardError
from tests.harness.boards.fault_proxy import FaultProxy


def refused(one: Board, other: Board) -> str:
    with pytest.raises(SameBoardError) as caught:
        check_boards_differ({"desk": one, "virtual": VIRTUAL, "shelf": other})
    message = str(caught.value)
    assert "'desk' and 'shelf' are one board" in message
    assert "--board" in message
    return message


@pytest.fixture
def elsewhere(board: Board, tmp_path: Path) -> Iterator[Board]:
    """The same board at another port, with files of its own."""
    with FaultProxy(board.port) as proxy:
        known = tmp_path / "known_hosts"
        known.write_text(board.known_hosts.read_text().replace(f":{board.port} ", f":{proxy.port} "))
        yield attrs.evolve(
            board, port=proxy.port, known_hosts=known, work_folder="other", lease_folder="other/lease"
        )


def test_one_address(board: Board) -> None:
    # Nobody is asked, so it is found of boards that are off.
    rock = attrs.evolve(board, host="rock.example", port=22, virtual=False)
    message = refused(rock, attrs.evolve(rock, host="Rock.Example.", user="root", lease_folder="/x"))
    assert "reached at rock.example:22." in message
    several = attrs.evolve(rock, virtual=True)
    assert "reached at rock.example:22 with the lease " in refused(several, several)
    check_boards_differ({"desk": several, "shelf": attrs.evolve(several, lease_folder="/x")})


def test_two_addresses_of_one_lease(board: Board, elsewhere: Board, tmp_path: Path) -> None:
    lease = str(tmp_path / "lease")
    one, other = (attrs.evolve(each, lease_folder=lease) for each in (board, elsewhere))
    assert f"with the lease {lease}" in refused(one, other)
    (tmp_path / "lease").mkdir()
    (tmp_path / "link").symlink_to(lease)
    refused(one, attrs.evolve(other, lease_folder=str(tmp_path / "link")))


def test_two_virtual_boards_of_one_machine_are_two(board: Board, elsewhere: Board) -> None:
    check_boards_differ({"desk": board, "shelf": elsewhere})


def test_a_real_board_has_one_npu_whatever_its_leases(board: Board, elsewhere: Board) -> None:
    one, other = (attrs.evolve(each, virtual=False) for each in (board, elsewhere))
    assert one.lease_folder != other.lease_folder
    assert re.search(r"both are kernel [0-9a-f-]{36}\.", refused(one, other))


def test_a_board_that_is_off_is_no_other(board: Board) -> None:
    check_boards_differ({"desk": board, "shelf": attrs.evolve(board, port=1)})


def test_a_run_over_both_is_wrong_usage(
    board: Board, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    entry = {
        "host": board.host,
        "port": board.port,
        "user": board.user,
        "key": str(board.key),
        "known_hosts": str(board.known_hosts),
    }
    lines = [f"{name} = {json.dumps(value)}" for name, value in entry.items()]
    file = tmp_path / "boards.toml"
    file.write_text("\n".join(["[board.desk]", *lines, "[board.shelf]", *lines]))
    words = ["--boards", str(file), "--board", "desk", "--board", "shelf", "--run-dir", str(tmp_path / "run")]
    result = CliRunner().invoke(main, ["run", *words, "--jobs", "1"])
    assert result.exit_code == 2
    assert "'desk' and 'shelf' are one board" in result.output + "".join(capfd.readouterr())
    assert not (tmp_path / "run").exists()
