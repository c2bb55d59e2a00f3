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
    """Return the versions of Python and of the packages here, of ours with a digest of the sources.

    A checkout keeps its version while its sources change.
    """
    ours = {name: f"{importlib.metadata.version(name)}+{_digest(package)}" for name, package in _OURS.items()}
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


def _digest(package: str) -> str:
    found = importlib.util.find_spec(package)
    assert found is not None
    assert found.origin is not None
    folder, digest = Path(found.origin).parent, hashlib.sha256()
    for source in sorted(folder.rglob("*.py")):
        digest.update(source.relative_to(folder).as_posix().encode() + b"\0" + source.read_bytes() + b"\0")
    return digest.hexdigest()[:12]
