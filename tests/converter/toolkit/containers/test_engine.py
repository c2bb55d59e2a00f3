"""An engine that is not there, not ours, full, or without a registry: each is named with its cure."""

from __future__ import annotations

import sys
from pathlib import Path

import docker
import docker.errors
import pytest
import requests

from sklearn2rknn.errors import (
    DiskFullError,
    EngineError,
    EngineMissingError,
    EnginePermissionError,
    RegistryError,
)
from sklearn2rknn.toolkit.containers.engine import connect, engine_failure, typed_engine_errors


def test_a_missing_engine_is_named_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    with pytest.raises(EngineMissingError, match=r"nothing\.sock .*containers/engine start.*VERSION@venv"):
        connect()


def test_a_missing_sdk_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "docker", None)
    with pytest.raises(EngineMissingError, match=r"sklearn2rknn\[container\]"):
        connect()


def test_an_invalid_address_is_a_missing_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "nonsense://x")
    with pytest.raises(EngineMissingError, match="nonsense"):
        connect()


def test_a_denied_engine_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    def from_env(**options: object) -> None:
        cause = ("Connection aborted.", PermissionError(13, "Permission denied"))
        raise docker.errors.DockerException(f"Error while fetching server API version: {cause}")

    monkeypatch.setattr(docker, "from_env", from_env)
    with pytest.raises(EnginePermissionError, match="usermod -aG docker"):
        connect()


@pytest.mark.parametrize(
    ("text", "kind", "cure"),
    [
        ("write /data/x: no space left on device", DiskFullError, "docker system prune"),
        ("Get https://registry: dial tcp: lookup: no such host", RegistryError, "toolkits base"),
        ("pull access denied for sklearn2rknn-base", RegistryError, "toolkits base"),
        ("manifest for python:3.11 not found", RegistryError, "toolkits base"),
        ("something else", EngineError, "something else"),
    ],
)
def test_what_an_engine_says_is_sorted(text: str, kind: type[EngineError], cure: str) -> None:
    error = engine_failure(text, "Building")
    assert type(error) is kind
    assert cure in str(error)
    with pytest.raises(kind, match=cure):
        with typed_engine_errors("Building"):
            raise docker.errors.APIError(text)


def test_a_lost_engine_is_an_engines_error() -> None:
    with pytest.raises(EngineError, match="Building: the engine says: gone"):
        with typed_engine_errors("Building"):
            raise requests.ConnectionError("gone")
