"""Board providers of other packages: one registered here, one through an entry point."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import attrs
import pytest
from click.testing import CliRunner

from rknn_harness.boards.board_entry import BoardEntry
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.boards.boards_file import Board, read_boards
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.providers import provider
from rknn_harness.boards.providers.provider import BoardProvider, board_provider, kinds, provider_class
from rknn_harness.commands.cli import main
from rknn_harness.errors import BoardBusyError, BoardRefusedError, BoardsFileError, ConnectionLostError


@pytest.fixture
def calls(board: Board, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The calls of a provider named shelf, which hands out the tests' virtual board."""
    made: list[str] = []
    monkeypatch.setattr(provider, "_PROVIDERS", dict(provider._PROVIDERS))

    @board_provider("shelf")
    class Shelf(BoardProvider):
        @classmethod
        def read(cls, entry: BoardEntry) -> dict[str, Any]:
            return {"options": {"place": entry.text("place")}, "port": 0}

        def acquire(self, folder: Path, claim: Claim) -> Board:
            made.append(f"acquire for {claim.what}")
            if self.board.options["place"] == "taken":
                raise BoardBusyError("bob@there has place taken.")
            if self.board.options["place"] == "broken":
                raise BoardRefusedError("Place broken is off.")
            address = {name: getattr(board, name) for name in ("host", "port", "user", "key", "known_hosts")}
            return attrs.evolve(self.board, kind="ssh", **address)

        def release(self) -> None:
            made.append("release")

        def power_cycle(self) -> bool:
            made.append("power_cycle")
            return True

        def facts(self) -> dict[str, Any]:
            return {"place": self.board.options["place"]}

    return made


def entry(folder: Path, place: str, kind: str = "shelf") -> Path:
    path = folder / "boards.toml"
    path.write_text(f'[board.top]\nkind = "{kind}"\nplace = "{place}"\n')
    return path


def test_an_acquired_board_is_reached_over_ssh_and_given_back(calls: list[str], tmp_path: Path) -> None:
    top = read_boards(entry(tmp_path, "three"))["top"]
    with BoardLink(top, claim=Claim("a test")) as link:
        facts = link.facts()
        assert (facts["place"], facts["device"]) == ("three", "npu")
        assert link.revive(ConnectionLostError("gone"))
        link.session()
    assert calls == ["acquire for a test", "power_cycle", "release"]


def test_the_commands_take_a_board_of_any_kind(calls: list[str], tmp_path: Path) -> None:
    words = ["--boards", str(entry(tmp_path, "three"))]
    listed = CliRunner().invoke(main, ["board", "list", *words]).output
    assert ["top", "on", "request", "-", "npu"] in [line.split() for line in listed.splitlines()]
    shown = CliRunner().invoke(main, ["board", "facts", "--board", "top", *words])
    assert json.loads(shown.stdout)["device"] == "npu"
    assert calls == ["acquire for rknn-harness", "release"]


@pytest.mark.parametrize(
    ("place", "expected"),
    [("taken", "bob@there has place taken."), ("broken", "Place broken is off.")],
)
def test_a_busy_or_refused_board_is_an_infrastructure_error(
    calls: list[str], tmp_path: Path, place: str, expected: str
) -> None:
    words = ["--board", "top", "--boards", str(entry(tmp_path, place))]
    shown = CliRunner().invoke(main, ["board", "facts", *words])
    assert shown.exit_code == 3
    assert expected in shown.output


def test_an_entry_point_registers_a_provider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "farm.py").write_text(
        "from rknn_harness.boards.providers.provider import BoardProvider\n"
        "class Farm(BoardProvider):\n"
        "    @classmethod\n"
        "    def read(cls, entry):\n"
        "        return {'options': {'place': entry.text('place')}}\n"
        "    def acquire(self, folder, claim):\n"
        "        raise NotImplementedError\n"
    )
    installed = tmp_path / "farm-1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: farm\nVersion: 1\n")
    (installed / "entry_points.txt").write_text(f"[{provider.ENTRY_POINTS}]\nfarm = farm:Farm\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(provider, "_PROVIDERS", dict(provider._PROVIDERS))
    importlib.invalidate_caches()
    assert "farm" in kinds()
    assert provider_class("farm").__name__ == "Farm"
    top = read_boards(entry(tmp_path, "field", "farm"))["top"]
    assert (top.kind, top.options) == ("farm", {"place": "field"})


def test_an_unknown_kind_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(BoardsFileError, match="kinds of boards are arm64, labgrid, ssh, virtual"):
        read_boards(entry(tmp_path, "x", "lorry"))
