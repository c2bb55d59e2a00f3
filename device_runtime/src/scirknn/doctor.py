"""What a machine needs to run a bundle, each with the command that mends it.

Paths are the kernel's and the vendor's: the driver RKNPU has a card and a render node under ``/dev/dri``
(their ``uevent`` says so: github.com/airockchip/rknn-toolkit2 issue 534), an older one ``/dev/rknpu``; the
clocks are devfreq's and cpufreq's (RKNPU API guide 1.5.0, section 4.8).
"""

from __future__ import annotations

import contextlib
import grp
import importlib
import os
import platform
import pwd
import sys
import sysconfig
from pathlib import Path
from typing import Any, Iterator

import numpy as np

from scirknn.bundle.contents import Bundle
from scirknn.devices import compatibility
from scirknn.devices.compatibility import BoardVersions, Finding, distribution_version, installed_versions
from scirknn.devices.rknnlite import restored_logging
from scirknn.errors import ScirknnError

_KNOWN_GOOD = "2.3.2"
_LITE_PYTHONS = ((3, 7), (3, 12))  # wheels of rknn-toolkit-lite2 2.3.2
_VENDOR_KERNEL = (
    "sudo apt install linux-image-vendor-rk35xx linux-dtb-vendor-rk35xx && sudo reboot"  # Armbian's
)
_RULES = {
    "dri": 'SUBSYSTEM=="drm", DRIVERS=="RKNPU", GROUP="render", MODE="0660"',
    "dev": 'KERNEL=="rknpu", GROUP="render", MODE="0660"',
}
"""By the folder that a node is in."""


def examine(
    bundle: Bundle | None = None, *, device: str = "npu", root: str = "/", runtime: str = "auto"
) -> Iterator[Finding]:
    """Examine what the machine, whose files are below `root`, has.

    A machine that can have no NPU has one finding, its chip: nothing else there is to be mended. A bundle is
    compared with the versions here, and run once, by `runtime`.
    """
    top, versions = Path(root), installed_versions(root)
    if device == "npu" and not _is_rockchip(versions) and not _is_container(top):
        yield _no_npu(versions)
        return
    yield from _python(device)
    if device == "npu":
        yield _chip(versions)
        yield from _nodes(top)
        yield from _driver(versions)
        yield from _runtime(versions, bundle)
        yield from _rknnlite(versions)
        yield from _clocks(top)
        if bundle is not None:
            yield from _goes_with(bundle, versions)
    else:
        yield _virtual_npu()
    if bundle is not None:
        yield from _runs(bundle, device, runtime)


def _virtual_npu() -> Finding:
    version = distribution_version("virtual-npu")
    if version is None and importlib.util.find_spec("virtual_npu") is None:
        text = "The virtual NPU is not installed for this Python."
        return Finding("virtual-npu", "error", text, "python3 -m pip install ./virtual_npu")
    return Finding("virtual-npu", "ok", version or "importable")


def _python(device: str) -> Iterator[Finding]:
    lowest, highest = _LITE_PYTHONS
    version = platform.python_version()
    if device == "npu" and not lowest <= sys.version_info[:2] <= highest:
        text = f"{version}; the optional rknn-toolkit-lite2 has wheels for 3.{lowest[1]} to 3.{highest[1]}."
        yield Finding("python", "note", text)
    else:
        yield Finding("python", "ok", f"{version}, {sys.executable}")
    yield Finding("numpy", "ok", np.__version__)


def _is_rockchip(versions: BoardVersions) -> bool:
    return any(name.startswith("rockchip,") for name in versions.compatible or ())


def _is_container(top: Path) -> bool:
    """Whether this may be a container on a board: such a one hides the device tree."""
    return (top / ".dockerenv").exists() and platform.machine() in ("aarch64", "armv7l")


def _no_npu(versions: BoardVersions) -> Finding:
    machine = (versions.compatible or (platform.machine().replace("_", "-"),))[0]
    text = f"{machine}: this is no Rockchip board, so there is no NPU here"
    device = "virtual" if importlib.util.find_spec("virtual_npu") else "cpu"
    return Finding("chip", "error", text, f"export SCIRKNN_DEVICE={device}")


def _chip(versions: BoardVersions) -> Finding:
    if _is_rockchip(versions):
        return Finding("chip", "ok", ", ".join(versions.compatible or ()))
    text = "This container hides /proc/device-tree, in which rknnlite looks for the chip. Start it with"
    command = "docker run --device /dev/dri --security-opt systempaths=unconfined ..."
    return Finding("chip", "error", text, command)


def _nodes(top: Path) -> Iterator[Finding]:
    nodes = []
    for folder in sorted((top / "sys/class/drm").glob("*")):
        uevent = compatibility.small_text(folder / "device/uevent") or ""
        if "-" not in folder.name and "DRIVER=RKNPU" in uevent.split():
            nodes.append(top / "dev/dri" / folder.name)
    if not nodes and (top / "dev/rknpu").exists():
        nodes = [top / "dev/rknpu"]
    if not nodes:
        why = "no node under /dev/dri belongs to the driver RKNPU"
        if (top / "sys/module/rocket").exists():
            why = "this kernel has the mainline driver, rocket, which librknnrt cannot use"
        yield Finding("nodes", "error", f"There is no NPU: {why}. Boot the vendor's kernel.", _VENDOR_KERNEL)
    for node in nodes:
        yield _node(top, node)


def _node(top: Path, node: Path) -> Finding:
    name = f"/{node.relative_to(top)}"
    try:
        status = node.stat()
    except OSError as error:
        text = (
            f"{name} is not there ({error.strerror}), though the kernel has it. In a container, hand it in."
        )
        return Finding("nodes", "error", text, "docker run --device /dev/dri ...")
    group, user = _group_name(status.st_gid), _user_name()
    if os.access(node, os.R_OK | os.W_OK):
        return Finding("nodes", "ok", f"{name}, group {group}")
    if status.st_mode & 0o060 != 0o060 or status.st_gid == 0:
        command = (
            f"echo '{_RULES[node.parent.name]}' | sudo tee /etc/udev/rules.d/99-rknpu.rules && "
            f"sudo udevadm control --reload && sudo udevadm trigger && sudo usermod -aG render {user}"
        )
        text = f"{name} is open to root alone. Give it to a group, and join that."
        return Finding("nodes", "error", text, command)
    with contextlib.suppress(KeyError):
        if user in grp.getgrgid(status.st_gid).gr_mem:
            text = f"{user} is in the group {group}, but was not at log-in."
            return Finding("nodes", "error", text, f"newgrp {group}")
    text = f"{user} may not open {name}, which is the group {group}'s. Join it and log in again."
    return Finding("nodes", "error", text, f"sudo usermod -aG {group} {user}")


def _driver(versions: BoardVersions) -> Iterator[Finding]:
    if versions.driver:
        yield Finding("driver", "ok", versions.driver)
    else:
        text = "Its version is not known: only root may read it."
        yield Finding("driver", "note", text, "sudo cat /sys/kernel/debug/rknpu/version")


def _runtime(versions: BoardVersions, bundle: Bundle | None) -> Iterator[Finding]:
    if versions.librknnrt:
        yield Finding("librknnrt", "ok", versions.librknnrt)
        return
    toolkit = _toolkit(bundle)
    version, chip = str(toolkit.get("version")), str(toolkit.get("target_platform", "rk3588"))
    command = compatibility.runtime_command(version, chip) or compatibility.runtime_command(_KNOWN_GOOD)
    yield Finding("librknnrt", "error", "There is no librknnrt.so in /usr/lib.", command)


def _rknnlite(versions: BoardVersions) -> Iterator[Finding]:
    """Examine what serves where librknnrt.so cannot be called without it."""
    runtime = (versions.librknnrt or "").split(" ")[0]
    install = compatibility.lite_command(runtime) or compatibility.lite_command(_KNOWN_GOOD)
    if versions.rknnlite is None and importlib.util.find_spec("rknnlite") is None:
        text = f"rknn-toolkit-lite2 is not installed for {sys.executable}; librknnrt.so is called without it."
        if _is_the_distributions():
            text += " This Python takes packages in an environment only: make one, and use its Python."
        yield Finding("rknnlite", "note", text, _with_this_python(install))
        return
    try:
        with restored_logging():
            importlib.import_module("rknnlite.api")
    except Exception as error:  # whatever the vendor's package raises
        if "pkg_resources" in str(error):
            install = "python3 -m pip install 'setuptools<82'"
        text = f"rknnlite {versions.rknnlite or ''} cannot be imported: {error}"
        yield Finding("rknnlite", "warning", text, _with_this_python(install))
    else:
        yield Finding("rknnlite", "ok", versions.rknnlite or "importable")


def _with_this_python(install: str) -> str:
    """Adapt ``python3 -m pip install ...`` to this Python."""
    python = sys.executable or "python3"
    if _is_the_distributions():
        own = "~/npu/bin/python3"
        return (
            f"sudo apt install python3-venv && {python} -m venv --system-site-packages ~/npu && "
            + install.replace("python3", own, 1)
        )
    needed = "" if importlib.util.find_spec("pip") else "sudo apt install python3-pip && "
    return needed + install.replace("python3", python, 1)


def _is_the_distributions() -> bool:
    """Whether pip refuses to install for this Python (PEP 668), as on Debian 12."""
    return sys.prefix == sys.base_prefix and Path(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED").exists()


def _clocks(top: Path) -> Iterator[Finding]:
    folders = [
        *((folder, "governor", "cur_freq", "max_freq", 1) for folder in _devfreq(top)),
        *(
            (folder, "scaling_governor", "scaling_cur_freq", "scaling_max_freq", 1000)
            for folder in sorted((top / "sys/devices/system/cpu/cpufreq").glob("policy*"))
        ),
    ]
    for folder, governor_file, current_file, highest_file, unit in folders:
        governor = compatibility.small_text(folder / governor_file)
        current, highest = (_megahertz(folder / name, unit) for name in (current_file, highest_file))
        state = f"{folder.name}: {governor or 'its governor is not known'}, {current} of {highest} MHz"
        path = f"/{(folder / governor_file).relative_to(top)}"
        if governor in ("performance", "userspace"):
            yield Finding("clocks", "ok", state)
        else:
            text = f"{state}. Times vary with it; until the next start it is held by"
            yield Finding("clocks", "note", text, f"echo performance | sudo tee {path}")


def _devfreq(top: Path) -> list[Path]:
    folders = sorted((top / "sys/class/devfreq").glob("*"))
    return [folder for folder in folders if folder.name.endswith(".npu") or folder.name == "dmc"]


def _megahertz(path: Path, unit: int) -> str:
    text = compatibility.small_text(path) or ""
    return f"{int(text) * unit / 1e6:.0f}" if text.isdigit() else "?"


def _goes_with(bundle: Bundle, versions: BoardVersions) -> Iterator[Finding]:
    findings = compatibility.check(_toolkit(bundle), versions)
    # What is missing has been reported above.
    new_findings = [finding for finding in findings if finding.level != "note" or finding.rule == "one-core"]
    yield from new_findings
    if not new_findings:
        version = _toolkit(bundle).get("version")
        yield Finding(
            "versions",
            "ok",
            f"{bundle.path.name}, of toolkit {version or 'unknown'}, is compatible with them",
        )


def _runs(bundle: Bundle, device: str, runtime: str) -> Iterator[Finding]:
    from scirknn.estimators.load import open_bundle

    rows = np.zeros((1, bundle.n_features_in)) if bundle.columns is None else None
    try:
        with open_bundle(bundle, device=device, runtime=runtime) as model:
            if rows is not None:
                model.raw_output(rows)
            taken = model.runtime
    except ScirknnError as error:
        yield Finding("model", "error", str(error))
    else:
        yield Finding("model", "ok", f"{bundle.path.name} {'loads' if rows is None else 'answers'}")
        if device == "npu":
            yield Finding("runtime", "ok" if taken.name == "native" else "note", str(taken))


def _toolkit(bundle: Bundle | None) -> dict[str, Any]:
    toolkit = None if bundle is None else bundle.details.get("toolkit")
    return dict(toolkit) if isinstance(toolkit, dict) else {}


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


def _user_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
