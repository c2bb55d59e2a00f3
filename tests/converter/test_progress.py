"""Progress of long work is shown on stderr."""

from __future__ import annotations

import time

import pytest

from sklearn2rknn import progress as module
from sklearn2rknn.progress import progress, stage


def test_progress_is_shown_only_after_a_while(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with progress("Making something"):
        pass
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.0)
    with progress("Making something"):
        _wait_for(capfd, "Making something ...\n")


def test_inner_progress_changes_the_text(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "QUIET_SECONDS", 0.0)
    with progress("Converting"):
        _wait_for(capfd, "Converting ...\n")
        with progress("Making its environment"):
            _wait_for(capfd, "Making its environment ...\n")
            with stage("part of it"):
                _wait_for(capfd, "part of it ...\n")
    capfd.readouterr()
    with stage("nobody looks"):
        time.sleep(0.05)
    assert capfd.readouterr() == ("", "")


def test_progress_ends_with_an_error(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), progress("Failing"):
        raise ValueError("no")
    with stage("nobody looks"):
        pass
    assert capfd.readouterr() == ("", "")


def _wait_for(capfd: pytest.CaptureFixture[str], text: str) -> None:
    found = ""
    for _ in range(200):
        found += capfd.readouterr().err
        if text in found:
            return
        time.sleep(0.05)
    pytest.fail(f"{text!r} was not said: {found!r}")
