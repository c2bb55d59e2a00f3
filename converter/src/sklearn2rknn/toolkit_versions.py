"""The table of toolkit versions, ``toolkits/versions.toml``: a version more is a paragraph more."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from sklearn2rknn.errors import OptionError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["ToolkitVersion", "default_version", "toolkit_version", "toolkit_versions"]

TOOLKITS = Path(__file__).with_name("toolkits")
"""Locks, table and torch stand-in: the repository's ``containers`` folder, or its copy in a wheel."""


@attrs.frozen
class ToolkitVersion:
    """What one version of the toolkit can do.

    Attributes
    ----------
    version : str
    pythons : tuple of str
        Python versions that it has wheels for, ``"3.11"``.
    opset_ceiling : int
        Highest ONNX opset that it loads.
    model_format : int
        Number of the format it writes.
    oldest_runtime, oldest_driver : str
        What reads that format on a board.
    target_platforms, integer_only_platforms : tuple of str
        Chips it writes for, and those among them that take no float16 model.
    config : mapping of str to mapping
        By precision, what is added to the arguments of its ``config``.
    """

    version: str
    pythons: tuple[str, ...] = attrs.field(converter=tuple[str, ...])
    opset_ceiling: int
    model_format: int
    oldest_runtime: str
    oldest_driver: str
    target_platforms: tuple[str, ...] = attrs.field(converter=tuple[str, ...])
    integer_only_platforms: tuple[str, ...] = attrs.field(converter=tuple[str, ...])
    config: Mapping[str, Mapping[str, Any]]

    @property
    def folder(self) -> Path:
        """Folder of this version's lock."""
        return TOOLKITS / self.version


@functools.cache
def _table() -> Mapping[str, Any]:
    return tomllib.loads((TOOLKITS / "versions.toml").read_text("utf-8"))


def default_version() -> str:
    """Return the version that is used when none is asked for."""
    return str(_table()["default"])


def toolkit_versions() -> tuple[str, ...]:
    """Return every version of the table, oldest first."""
    return tuple(sorted(_table()["toolkits"], key=lambda version: [int(part) for part in version.split(".")]))


def toolkit_version(version: str | None = None) -> ToolkitVersion:
    """Return the table's paragraph for `version`, by default its default version.

    Raises
    ------
    OptionError
        The table has no such version.
    """
    version = version or default_version()
    entries = _table()["toolkits"]
    if version not in entries:
        raise OptionError(f"There is no toolkit {version!r:.40}; there are {', '.join(toolkit_versions())}.")
    return ToolkitVersion(version=version, **entries[version])
