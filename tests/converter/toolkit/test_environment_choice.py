"""Where a toolkit runs: what is asked for, what is there, and what is taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from sklearn2rknn.errors import (
    EngineError,
    EngineMissingError,
    EnginePermissionError,
    ImageMissingError,
    ImageStaleError,
    OptionError,
    PythonMissingError,
)
from sklearn2rknn.toolkit import environment_choice
from sklearn2rknn.toolkit.containers.container import ContainerEnvironment
from sklearn2rknn.toolkit.containers.image import Image
from sklearn2rknn.toolkit.environment_choice import choose_environment, parse_choice
from sklearn2rknn.toolkit.venv import ToolkitEnvironment

CONTAINER = ContainerEnvironment("2.3.2", Image("2.3.2", "sha256:0", "1" * 64, 1))
VENV = ToolkitEnvironment("2.3.2", ("python",), "venv", "1" * 64, Path("somewhere"))


@pytest.fixture
def venv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment_choice, "ensure_environment", lambda version: VENV)


def with_container(monkeypatch: pytest.MonkeyPatch, error: Exception | None = None) -> None:
    def container(version: str) -> ContainerEnvironment:
        if error:
            raise error
        return CONTAINER

    monkeypatch.setattr(environment_choice, "container_environment", container)


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (None, ("2.3.2", None)),
        ("2.5.0", ("2.5.0", None)),
        ("2.5.0@venv", ("2.5.0", "venv")),
        ("1.5.0@container", ("1.5.0", "container")),
        ("@venv", ("2.3.2", "venv")),
    ],
)
def test_version_and_kind_are_split(asked: str | None, found: tuple[str, str | None]) -> None:
    assert parse_choice(asked) == found


@pytest.mark.parametrize("asked", ["2.3.3", "2.3.2@", "2.3.2@docker", "latest", "2.3.2@venv@venv"])
def test_a_wrong_version_or_kind_names_the_choices(asked: str) -> None:
    with pytest.raises(OptionError, match=r"there are 1\.5\.0|@container or @venv"):
        parse_choice(asked)


def test_a_container_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch, venv: None) -> None:
    with_container(monkeypatch)
    assert choose_environment("2.3.2") is CONTAINER
    assert choose_environment("2.3.2@container") is CONTAINER
    assert choose_environment("2.3.2@venv") is VENV


@pytest.mark.parametrize("kind", [EngineMissingError, EnginePermissionError, ImageMissingError])
def test_without_a_container_the_environment_is_taken(
    monkeypatch: pytest.MonkeyPatch, venv: None, kind: type[EngineError]
) -> None:
    with_container(monkeypatch, kind("the cure"))
    assert choose_environment("2.3.2") is VENV
    with pytest.raises(kind, match="the cure"):
        choose_environment("2.3.2@container")


def test_a_stale_image_is_warned_of(monkeypatch: pytest.MonkeyPatch, venv: None) -> None:
    with_container(monkeypatch, ImageStaleError("It was built from another lock."))
    with pytest.warns(UserWarning, match="another lock"):
        assert choose_environment("2.3.2") is VENV
    with pytest.raises(ImageStaleError):
        choose_environment("2.3.2@container")


@pytest.mark.parametrize("kind", [EngineMissingError, ImageMissingError, ImageStaleError])
@pytest.mark.filterwarnings("ignore:start an engine")
def test_without_a_python_and_a_container_the_error_names_both(
    monkeypatch: pytest.MonkeyPatch, kind: type[EngineError]
) -> None:
    def environment(version: str) -> ToolkitEnvironment:
        raise PythonMissingError("Install Python 3.12.")

    monkeypatch.setattr(environment_choice, "ensure_environment", environment)
    with_container(monkeypatch, kind("start an engine"))
    with pytest.raises(PythonMissingError, match=r"Install Python 3\.12\..*start an engine"):
        choose_environment("2.3.2")
    with pytest.raises(PythonMissingError, match=r"^Install Python 3\.12\.$"):
        choose_environment("2.3.2@venv")
