"""Options of ``scirknn bench`` that cannot be."""

from __future__ import annotations

import pytest

from scirknn.cli.commands import main


@pytest.mark.parametrize(
    ("option", "value", "text"),
    [
        ("--rows", "-3", "'-3' is no number of rows from 1 to 1048576"),
        ("--rows", "0", "'0' is no number of rows"),
        ("--rows", "9" * 30, "is no number of rows"),
        ("--seconds", "nan", "'nan' is no number of seconds from 0 to 3600"),
        ("--seconds", "-1", "'-1' is no number of seconds"),
        ("--seconds", "soon", "'soon' is no number of seconds"),
    ],
)
def test_bench_refuses_rows_and_seconds_that_cannot_be(
    option: str, value: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "m.rknn", f"{option}={value}"])
    assert text in capsys.readouterr().err
