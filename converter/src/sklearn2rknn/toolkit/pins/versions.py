"""The table of toolkit versions, ``toolkits/versions.toml``."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from sklearn2rknn.errors import OptionError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TOOLKITS = Path(__file__).with_name("toolkits")
"""Locks, table and torch stand-in: the repository's ``containers`` folder, or its copy in a wheel."""

DEBIAN_PYTHON = "3.11"
"""The Python of the base image that is made from Debian's packages."""


@attrs.frozen
class WheelFile:
    """One of the toolkit's own wheels for x86-64, as the vendor's repository has it.

    Attributes
    ----------
    python : str
        The Python that it is for, ``"3.10"``.
    name : str
        The file's name.
    git_blob, md5, sha256 : str or None
        What identifies its bytes, as far as it is known.
    """

    python: str
    name: str
    git_blob: str | None = None
    md5: str | None = None
    sha256: str | None = None


@attrs.frozen
class Wheel:
    """Where the toolkit's own wheel comes from.

    Attributes
    ----------
    source : {"index", "repository"}
        Any package index, or a file of the vendor's repository that the user supplies.
    repository, branch, commit, folder : str or None
    files : tuple of WheelFile
    """

    source: str
    repository: str | None = None
    branch: str | None = None
    commit: str | None = None
    folder: str | None = None
    files: tuple[WheelFile, ...] = ()

    @classmethod
    def from_table(cls, files: Sequence[Mapping[str, str]] = (), **values: str) -> Wheel:
        """Read the table's paragraph."""
        return cls(files=tuple(WheelFile(**file) for file in files), **values)


@attrs.frozen
class Defect:
    """A known defect: a short name, one line, and a link or ``"measured"``."""

    id: str
    text: str
    source: str


@attrs.frozen
class ToolkitVersion:
    """What one version of the toolkit can do.

    Attributes
    ----------
    version : str
    pythons : tuple of str
        Python versions that its lock serves, ``"3.11"``.
    wheel_pythons : tuple of str
        All that it has wheels for.
    run : bool
        Whether the project has run it; of the others it knows what the vendor says.
    wheel : Wheel
    opset_ceiling : int
        Highest ONNX opset that it loads.
    model_format : int
        Number of the format it writes.
    oldest_runtime : str
        Oldest librknnrt that reads that format on a board.
    oldest_driver : str or None
        Oldest driver that newer runtimes do not warn of, where it is known.
    target_platforms, integer_only_platforms : tuple of str
        Chips it writes for, and those among them that take no float16 model.
    softmax_cpu_platforms : tuple of str
        Chips for which it places softmax on the CPU.
    config : mapping of str to mapping
        By precision, what is added to the arguments of its ``config``.
    defects : tuple of Defect
    """

    version: str
    pythons: tuple[str, ...] = attrs.field(converter=tuple[str, ...])
    wheel_pythons: tuple[str, ...] = attrs.field(converter=tuple[str, ...])
    run: bool
    wheel: Wheel
    opset_ceiling: int
    model_format: int
    oldest_runtime: str
    target_platforms: tuple[str, ...] = attrs.field(converter=tuple[str, ...])
    integer_only_platforms: tuple[str, ...] = attrs.field(converter=tuple[str, ...])
    config: Mapping[str, Mapping[str, Any]]
    softmax_cpu_platforms: tuple[str, ...] = attrs.field(converter=tuple[str, ...], default=())
    oldest_driver: str | None = None
    defects: tuple[Defect, ...] = ()

    @property
    def folder(self) -> Path:
        """Folder of this version's lock."""
        return TOOLKITS / self.version


@functools.cache
def _table() -> Mapping[str, Any]:
    table: Mapping[str, Any] = tomllib.loads((TOOLKITS / "versions.toml").read_text("utf-8"))
    return table


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
    defects = tuple(
        Defect(id=name, text=defect["text"], source=defect["source"])
        for name, defect in _table()["defects"].items()
        if version in defect["versions"]
    )
    values = dict(entries[version])
    wheel = Wheel.from_table(**values.pop("wheel"))
    return ToolkitVersion(version=version, defects=defects, wheel=wheel, **values)


def base_images() -> tuple[str, ...]:
    """Return every pinned base image."""
    return tuple(_table()["bases"].values())


def base_image(python: str) -> str:
    """Return the pinned image that has this Python, as the engine would pull it."""
    return str(_table()["bases"][python])
