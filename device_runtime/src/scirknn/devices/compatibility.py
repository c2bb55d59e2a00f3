"""Compatible versions of a model file, librknnrt, the driver and rknnlite.

An estimator asks this before it opens the NPU, and so does ``rknn-harness doctor``. The rules come from
users' reports and the vendor's changelog, each with its place; the vendor's own rule is one version for all.
"""

from __future__ import annotations

import mmap
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, Mapping, Tuple

from scirknn.errors import CompatibilityError

MODEL_FORMATS = {4: "1.5.0", 6: "1.5.2"}
"""Oldest librknnrt that reads a format: github.com/rockchip-linux/rknn-toolkit2 issues 168, 212, 316."""

OLDEST_DRIVER = "0.8.8"
"""Runtimes from 1.6 on warn below it: github.com/airockchip/rknn-toolkit2 issue 16."""

_DRIVER_OF_2_0 = (0, 8, 0)  # 2.0.0b22 mends "runtime not compatible with rknpu driver <= 0.8.0" (changelog)
_ONE_CORE_DRIVER = (0, 9, 2)  # only core 0 works: github.com/airockchip/rknn-toolkit2 issue 294
_MULTI_CORE_DRIVER = "0.9.6"  # github.com/airockchip/rknn-toolkit2 issue 138

_TAGS = {
    version: f"v{version}" for version in ("1.5.0", "1.5.2", "1.6.0", "2.1.0", "2.2.0", "2.3.0", "2.3.2")
}
_LITE_VERSIONS = ("2.3.0", "2.3.2", "2.5.0")

_RK356X = ("rk3566", "rk3568")  # one program and one runtime serve both, and not the RK3562

_RUNTIMES = ("usr/lib/librknnrt.so", "usr/lib/aarch64-linux-gnu/librknnrt.so", "usr/local/lib/librknnrt.so")
_RUNTIME_VERSION = re.compile(rb"librknnrt version: ([0-9][ -~]{0,80}?)\s*(?=[\0\n\r]|[^ -~])")
_DRIVERS = ("sys/kernel/debug/rknpu/version", "proc/rknpu/version", "sys/module/rknpu/version")


@dataclass(frozen=True)
class BoardVersions:
    """The versions that a board reports; None is not known.

    Attributes
    ----------
    librknnrt, driver, rknnlite : str or None
        Texts that hold a version, such as ``"1.5.0 (e6fe0c678@2023-05-25T08:09:20)"``.
    compatible : tuple of str or None
        The device tree's names of the board and its chip.
    """

    librknnrt: str | None = None
    driver: str | None = None
    rknnlite: str | None = None
    compatible: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that is not compatible, or is not known.

    Attributes
    ----------
    rule : str
        The rule's short name.
    level : {"ok", "note", "warning", "error"}
        An error keeps the model from running; a note is something that is not known.
    text : str
        What is wrong, and the cure.
    command : str
        What to type for it, where a command mends it.
    """

    rule: str
    level: str
    text: str
    command: str = ""


def check(toolkit: Mapping[str, Any], board: BoardVersions) -> tuple[Finding, ...]:
    """Return what is not compatible, or not known.

    `toolkit` is a bundle's ``details["toolkit"]``: ``version``, ``model_format`` and ``target_platform``.
    """
    runtime, driver, lite = (_version(text) for text in (board.librknnrt, board.driver, board.rknnlite))
    return (
        *_check_runtime(toolkit, runtime),
        *_check_platform(toolkit.get("target_platform"), board.compatible or ()),
        *_check_driver(driver, runtime),
        *_check_lite(lite, runtime),
    )


def _check_runtime(toolkit: Mapping[str, Any], runtime: _Version | None) -> Iterator[Finding]:
    name, platform = str(toolkit.get("version")), str(toolkit.get("target_platform"))
    maker, number = _version(name), toolkit.get("model_format")
    oldest = _version(MODEL_FORMATS.get(number)) if isinstance(number, int) else None
    install = runtime_file(name, platform) if maker else ""
    fetch = runtime_command(name, platform) if maker else ""
    if runtime is None:
        text = "The version of librknnrt.so is not known: it is not in /usr/lib."
        yield Finding("runtime", "note", text)
    elif oldest and runtime < oldest:
        text = (
            f"The model has format {number}, which librknnrt reads from {_text(oldest)} on; here is "
            f"{_text(runtime)}. Install {install}."
        )
        yield Finding("format", "error", text, fetch)
    elif maker and runtime < maker:
        text = (
            f"librknnrt {_text(runtime)} is older than the toolkit that made the model, {name}. If results "
            f"are wrong, install {install}."
        )
        yield Finding("same-version", "warning", text, fetch)


def _check_platform(platform: object, compatible: tuple[str, ...]) -> Iterator[Finding]:
    chips = [name.split(",", 1)[-1] for name in compatible if name.startswith("rockchip,")]
    if not isinstance(platform, str) or not chips:
        return
    served = _RK356X if platform in _RK356X else platform
    if not any(chip.startswith(served) for chip in chips):
        text = (
            f"The model is for {platform}; this board is {', '.join(chips)}. Convert it with "
            f"target_platform={chips[-1].rstrip('s')!r}."
        )
        yield Finding("platform", "error", text)


def _check_lite(lite: _Version | None, runtime: _Version | None) -> Iterator[Finding]:
    if lite is None:
        yield Finding("rknnlite", "note", "rknn-toolkit-lite2 is not installed for this Python.")
    elif runtime and lite[:2] != runtime[:2]:
        text = (
            f"rknnlite {_text(lite)} and librknnrt {_text(runtime)} are of two versions. Install "
            f"rknn-toolkit-lite2 {_text(runtime)}."
        )
        yield Finding("rknnlite", "warning", text, lite_command(_text(runtime)))


def require_compatible(toolkit: object) -> None:
    """Refuse what cannot run on this machine (CompatibilityError), and warn of what may not.

    `toolkit` is a bundle's ``details["toolkit"]``; anything but a mapping is let pass.
    """
    if not isinstance(toolkit, Mapping):
        return
    findings = check(toolkit, installed_versions())
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        raise CompatibilityError(
            tuple(finding.rule for finding in errors), " ".join(finding.text for finding in errors)
        )
    for finding in findings:
        if finding.level == "warning":
            warnings.warn(finding.text, stacklevel=4)


def _check_driver(driver: _Version | None, runtime: _Version | None) -> Iterator[Finding]:
    if driver is None:
        yield Finding("driver", "note", "The driver's version is not known: only root may read it.")
        return
    text, cure = _text(driver), "Update the vendor's kernel, which holds the driver."
    if runtime and (2, 0, 0) <= runtime < (2, 1, 0) and driver <= _DRIVER_OF_2_0:
        text = (
            f"librknnrt {_text(runtime)} does not work with driver {text}. Install librknnrt 2.1.0 or "
            f"later, or a newer driver: {cure}"
        )
        yield Finding("driver-2.0", "error", text)
    elif runtime and runtime >= (1, 6, 0) and driver < _numbers(OLDEST_DRIVER):
        yield Finding("old-driver", "warning", f"Driver {text} is older than {OLDEST_DRIVER}. {cure}")
    elif driver == _ONE_CORE_DRIVER:
        text = f"With driver {text} only core 0 works; several cores need {_MULTI_CORE_DRIVER}. {cure}"
        yield Finding("one-core", "note", text)


def runtime_file(version: str, platform: str) -> str:
    """Return which file of which vendor repository is a version's librknnrt."""
    number = _version(version) or (0, 0, 0)
    if number < (1, 6, 0):
        chip = "RK356X" if platform in _RK356X else platform.upper()
        return (
            f"runtime/{chip}/Linux/librknn_api/aarch64/librknnrt.so of github.com/rockchip-linux/rknpu2, tag "
            f"v{version}, as /usr/lib/librknnrt.so"
        )
    owner = "rockchip-linux" if number < (2, 0, 0) else "airockchip"
    return (
        f"rknpu2/runtime/Linux/librknn_api/aarch64/librknnrt.so of github.com/{owner}/rknn-toolkit2, version "
        f"{version}, as /usr/lib/librknnrt.so"
    )


def runtime_command(version: str, platform: str = "rk3588") -> str:
    """Return the command that installs a version's librknnrt.so; empty if unknown."""
    where = re.match(r"(\S+) of (\S+?), ", runtime_file(version, platform))
    tag = _TAGS.get(version)
    if where is None or tag is None:
        return ""
    url = f"https://{where.group(2)}/raw/{tag}/{where.group(1)}"
    return f"sudo curl -fL -o /usr/lib/librknnrt.so {url} && sudo ldconfig"


def lite_command(version: str) -> str:
    """Return the command that installs a version's rknnlite; empty if unknown."""
    return f"python3 -m pip install rknn-toolkit-lite2=={version}" if version in _LITE_VERSIONS else ""


def installed_versions(root: str = "/") -> BoardVersions:
    """Read the versions on this machine, whose files are below `root`."""
    top = Path(root)
    compatible = small_text(top / "proc/device-tree/compatible")
    return BoardVersions(
        librknnrt=_runtime(top),
        driver=next(filter(None, (small_text(top / path) for path in _DRIVERS)), None),
        rknnlite=distribution_version("rknn-toolkit-lite2"),
        compatible=None if compatible is None else tuple(compatible.split("\0")),
    )


_Version = Tuple[int, ...]


def _version(text: object) -> _Version | None:
    match = re.search(r"\d+(?:\.\d+){1,3}", text) if isinstance(text, str) else None
    return _numbers(match.group()) if match else None


def _numbers(text: str) -> _Version:
    return tuple(int(part) for part in text.split("."))


def _text(version: _Version) -> str:
    return ".".join(map(str, version))


def small_text(path: Path) -> str | None:
    """Return a small file's text; None where it is absent, not readable or empty."""
    try:
        with path.open("rb") as file:
            text = file.read(1 << 16).decode("utf-8", "replace").strip("\0 \t\r\n")
    except OSError:
        return None
    return text or None


def runtime_path(top: Path = Path("/")) -> Path | None:
    """Return the librknnrt.so of a machine whose files are below `top`; None where it is at no usual place.

    On this machine ``SCIRKNN_LIBRKNNRT`` names another.
    """
    own = os.environ.get("SCIRKNN_LIBRKNNRT")
    if own and top == Path("/"):
        return Path(own)
    return next((top / name for name in _RUNTIMES if (top / name).is_file()), None)


def _runtime(top: Path) -> str | None:
    """Return the version that librknnrt.so carries as text."""
    path = runtime_path(top)
    try:
        if path is None:
            return None
        with path.open("rb") as file:
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except (OSError, ValueError):  # not to be read, or empty and so not to be mapped
        return None
    with data:
        match = _RUNTIME_VERSION.search(data)
        return match.group(1).decode("ascii") if match else None


def distribution_version(name: str) -> str | None:
    """Return the version of an installed distribution, or None."""
    try:
        from importlib import metadata

        return metadata.version(name)
    except Exception:  # whatever is wrong with an installation, it is no fact about the board
        return None
