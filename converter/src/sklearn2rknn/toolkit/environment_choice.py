"""The choice of where a toolkit runs: in a container or a virtual environment."""

from __future__ import annotations

import warnings

from sklearn2rknn.errors import (
    EngineMissingError,
    EnginePermissionError,
    ImageMissingError,
    ImageStaleError,
    OptionError,
    PythonMissingError,
)
from sklearn2rknn.toolkit.containers.container import ContainerEnvironment, container_environment
from sklearn2rknn.toolkit.pins.versions import toolkit_version
from sklearn2rknn.toolkit.venv import ToolkitEnvironment, ensure_environment

KINDS = ("container", "venv")


def parse_choice(toolkit: str | None) -> tuple[str, str | None]:
    """Split ``"2.3.2@container"`` into version and kind; None is the default.

    Raises
    ------
    OptionError
        There is no such version or kind.
    """
    version, at, kind = (toolkit or "").partition("@")
    if at and kind not in KINDS:
        raise OptionError(
            f"toolkit is {toolkit!r:.60}; after the version it can say @{' or @'.join(KINDS)}, or nothing."
        )
    return toolkit_version(version or None).version, kind or None


def choose_environment(toolkit: str | None = None) -> ContainerEnvironment | ToolkitEnvironment:
    """Return where the toolkit runs; make the virtual environment if needed.

    ``"2.3.2"`` takes a container where an engine answers and has the image, else a virtual environment;
    ``"2.3.2@container"`` and ``"2.3.2@venv"`` insist.

    Raises
    ------
    OptionError
        There is no such version or kind.
    EngineError
        '@container' was requested, but no container is available.
    PythonMissingError
        This Python and those on the PATH are none that the toolkit has wheels for, and without '@venv' there
        is no container either: the message names both.
    ToolkitNotInstallableError
        The environment cannot be made.
    """
    version, kind = parse_choice(toolkit)
    if kind == "container":
        return container_environment(version)
    if kind == "venv":
        return ensure_environment(version)
    try:
        return container_environment(version)
    except (EngineMissingError, EnginePermissionError, ImageMissingError) as error:
        no_container = str(error)
    except ImageStaleError as error:
        no_container = str(error)
        warnings.warn(f"{error} Until then a virtual environment is used.", stacklevel=2)
    try:
        return ensure_environment(version)
    except PythonMissingError as error:
        raise PythonMissingError(f"{error} There is no container yet: {no_container}") from error
