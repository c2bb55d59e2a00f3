"""The container engine, asked through the docker SDK."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sklearn2rknn.errors import (
    DiskFullError,
    EngineError,
    EngineMissingError,
    EnginePermissionError,
    RegistryError,
)

if TYPE_CHECKING:
    import docker

DEFAULT_HOST = "unix:///var/run/docker.sock"

_NO_REGISTRY = re.compile(
    r"no such host|dial tcp|pull access denied|manifest (for .* not found|unknown)|failed to do request|"
    r"Temporary failure in name resolution|TLS handshake|i/o timeout|registry-1|connection refused",
    re.IGNORECASE,
)


def connect() -> docker.DockerClient:
    """Return a client of the engine that ``DOCKER_HOST`` names, or of the local one.

    Raises
    ------
    EngineMissingError
        The SDK is not installed or no engine answers.
    EnginePermissionError
        An engine is there and this user may not talk to it.
    """
    host = os.environ.get("DOCKER_HOST") or DEFAULT_HOST
    try:
        import docker
        import docker.errors
    except ImportError as error:
        raise EngineMissingError(
            f"The docker SDK cannot be imported ({error}): pip install 'sklearn2rknn[container]', or use the "
            'toolkit in a virtual environment ("VERSION@venv").'
        ) from None
    try:
        client = docker.from_env(timeout=60)
        client.ping()
    except (docker.errors.DockerException, OSError, ValueError) as error:
        if "PermissionError" in repr(error) or "Permission denied" in str(error):
            raise EnginePermissionError(
                f"A container engine is at {host}, and this user may not open it. Add the user to the group "
                "of the socket (usermod -aG docker USER, then log in again), or name another engine in "
                "DOCKER_HOST."
            ) from error
        raise EngineMissingError(
            f"No container engine answers at {host} ({_reason(error)}). Start one (containers/engine start "
            "FOLDER, or the system's docker service) and name its socket in DOCKER_HOST, or use the toolkit "
            'in a virtual environment ("VERSION@venv").'
        ) from error
    return client


def _reason(error: BaseException) -> str:
    """Return the innermost reason: the SDK wraps a plain OSError several times."""
    inner: BaseException = error
    while isinstance(inner.__cause__ or inner.__context__, BaseException):
        inner = inner.__cause__ or inner.__context__ or inner
    return str(inner)[:200]


def engine_failure(text: str, doing: str) -> EngineError:
    """Turn what the engine said into the error that names the cure."""
    if "no space left on device" in text.lower():
        return DiskFullError(
            f"{doing}: the engine's disk is full ({text.strip()[-200:]}). Make room (docker system prune, "
            "rknn-harness toolkits remove VERSION --image), or give the engine another data folder."
        )
    if _NO_REGISTRY.search(text):
        return RegistryError(
            f"{doing}: the base image is not here and no registry gives it ({text.strip()[-200:]}). Make one "
            "from Debian's packages: rknn-harness toolkits base."
        )
    return EngineError(f"{doing}: the engine says: {text.strip()[-600:]}")


@contextmanager
def typed_engine_errors(doing: str) -> Iterator[None]:
    """Raise what the SDK raises as an `EngineError` that tells what was being done."""
    import docker.errors
    import requests

    try:
        yield
    except docker.errors.APIError as error:
        raise engine_failure(str(error.explanation or error), doing) from error
    except (docker.errors.DockerException, requests.RequestException) as error:
        raise engine_failure(str(error), doing) from error
