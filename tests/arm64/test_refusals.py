"""What the harness makes of an arm64 board that lacks something."""

from __future__ import annotations

from collections.abc import Mapping

import attrs
import pytest

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.errors import BoardError, ProvisioningError
from tests.waiting import wait_until


def test_a_board_without_rknnlite(boards: Mapping[str, Board], models: Mapping[str, bytes]) -> None:
    bare = attrs.evolve(boards["arm64-2.3.2"], python="/usr/bin/python3")  # none of the environments
    with BoardSession(bare) as session:
        assert session.facts()["rknnlite"] is None
        with pytest.raises(ProvisioningError, match="vendor's runtime cannot be imported"):
            session.raw_models.load_raw(models["float16"])


@pytest.mark.parametrize("version", ["2.3.0", "2.3.2", "2.5.0"])
def test_a_library_too_old_for_the_model(
    boards: Mapping[str, Board], models: Mapping[str, bytes], version: str
) -> None:
    newer = bytearray(models["float16"])
    assert newer[8] == 6  # the header's format
    newer[8] = 7
    with BoardSession(boards[f"arm64-{version}"]) as session:
        with pytest.raises(BoardError, match="init_runtime") as refused:
            session.raw_models.load_raw(bytes(newer))
        assert (refused.value.kind, refused.value.code) == ("load_error", -1)
        # Standard error may follow the answer, on a busy machine by some time.
        errors = session.runner.errors
        assert errors is not None
        wait_until(lambda: "RKNN_ERR_MODEL_INVALID" in errors.tail(), "the library says why")
        session.raw_models.load_raw(models["float16"])  # and the board is none the worse
