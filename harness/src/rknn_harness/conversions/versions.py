"""Which versions compute a conversion, so that two machines can see whether they compute the same."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import importlib.util
import platform
from collections.abc import Mapping
from pathlib import Path

_OURS = {
    "rknn-harness": "rknn_harness",
    "scirknn": "scirknn",
    "sklearn2rknn": "sklearn2rknn",
    "virtual-npu": "virtual_npu",
}
_THEIRS = ("numpy", "onnx", "onnxruntime", "scikit-learn", "scipy", "skops")


@functools.cache
def versions() -> Mapping[str, str]:
    """Return the versions of Python and of the packages here, of ours with a digest of the files.

    A checkout keeps its version while its files change.
    """
    ours = {
        name: f"{importlib.metadata.version(name)}+{digest_of_files(_folder(package))}"
        for name, package in _OURS.items()
    }
    theirs = {name: importlib.metadata.version(name) for name in _THEIRS}
    return {"Python": ".".join(platform.python_version_tuple()[:2]), **ours, **theirs}


def differences(expected: Mapping[str, str]) -> str:
    """Return which versions here are not those expected, as part of a sentence; empty where all are."""
    here = versions()
    return ", ".join(
        f"{name} {here.get(name, 'nowhere')}, not {version}"
        for name, version in expected.items()
        if here.get(name) != version
    )


def digest_of_files(folder: Path) -> str:
    """Return a digest of a package's files, tables among them, without what Python compiled."""
    digest = hashlib.sha256()
    for file in sorted(folder.rglob("*")):
        if file.is_file() and file.parent.name != "__pycache__":
            digest.update(file.relative_to(folder).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def _folder(package: str) -> Path:
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).parent
