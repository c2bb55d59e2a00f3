"""The doctor, on trees of files that stand for boards."""

from __future__ import annotations

import builtins
import functools
import grp
import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

import scirknn
from scirknn import doctor
from scirknn.cli.commands import main
from scirknn.devices.compatibility import lite_command, runtime_command
from tests.device_runtime.bundle.metadata_edits import edit_metadata
from tests.device_runtime.conftest import FakeLite, MakeBundle
from tests.device_runtime.estimators.test_estimator import fitted

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.usefixtures("lite"),
]

GOVERNOR = "sys/class/devfreq/fdab0000.npu/governor"
CHIP = "proc/device-tree/compatible"
UEVENT = "sys/class/drm/renderD129/device/uevent"
RUNTIME = "usr/lib/librknnrt.so"


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A board on which all is well."""
    root = tmp_path / "board"
    for name, content in {
        CHIP: b"radxa,rock-5b\0rockchip,rk3588\0",
        UEVENT: b"DRIVER=RKNPU\nOF_NAME=npu\n",
        "sys/class/drm/card1/device/uevent": b"DRIVER=RKNPU\n",
        "sys/class/drm/card0/device/uevent": b"DRIVER=rockchip-drm\n",
        "sys/class/drm/card0-HDMI-A-1/device/uevent": b"",
        "dev/dri/renderD129": b"",
        "dev/dri/card1": b"",
        "sys/kernel/debug/rknpu/version": b"RKNPU driver: v0.9.8\n",
        RUNTIME: b"\0librknnrt version: 2.3.2 (429f97ae6b@2025-04-09T09:09:27)\0",
        GOVERNOR: b"performance\n",
        "sys/class/devfreq/fdab0000.npu/cur_freq": b"1000000000\n",
        "sys/class/devfreq/fdab0000.npu/max_freq": b"1000000000\n",
        "sys/class/devfreq/fb000000.gpu/governor": b"simple_ondemand\n",
        "sys/devices/system/cpu/cpufreq/policy4/scaling_governor": b"performance\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    versions = {"rknn-toolkit-lite2": "2.3.2"}
    monkeypatch.setattr("scirknn.devices.compatibility.distribution_version", versions.get)
    return root


def findings(board: Path, level: str = "", **options: Any) -> list[Any]:
    found = list(doctor.examine(root=str(board), **options))
    return [each for each in found if level in ("", each.level)]


def test_a_good_board_has_nothing_to_mend(board: Path, make_bundle: MakeBundle) -> None:
    found = findings(board, bundle=scirknn.read_bundle(make_bundle(fitted("softmax"))))
    assert {each.level for each in found[:-1]} == {"ok"}
    assert [each.rule for each in found] == [
        "python", "numpy", "chip", "nodes", "nodes", "driver", "librknnrt", "rknnlite", "clocks", "clocks",
        "versions", "model", "runtime",
    ]  # fmt: skip
    assert (found[-1].level, found[-1].text[:34]) == ("note", "rknnlite: There is no librknnrt.so")


def test_the_model_is_run_by_the_runtime_that_the_command_names(
    board: Path,
    make_bundle: MakeBundle,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(doctor, "examine", functools.partial(doctor.examine, root=str(board)))
    path = str(make_bundle(fitted("softmax")))
    assert main(["doctor", path, "--runtime", "rknnlite"]) == 0
    assert capsys.readouterr().out.endswith("rknnlite: asked for\n")
    assert main(["doctor", path, "--runtime", "native"]) == 1
    assert "There is no librknnrt.so in /usr/lib" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("path", "content", "rule", "text", "command"),
    [
        (
            CHIP,
            b"raspberrypi,5\0",
            "chip",
            "raspberrypi,5: this is no Rockchip board",
            "export SCIRKNN_DEVICE=virtual",
        ),
        (UEVENT, None, "nodes", None, None),
        (RUNTIME, None, "librknnrt", "no librknnrt.so", "rknn-toolkit2/raw/v2.3.2/rknpu2/runtime/Linux"),
        ("dev/dri/card1", None, "nodes", "/dev/dri/card1 is not there", "docker run --device /dev/dri"),
    ],
)
def test_what_is_missing_is_an_error_with_its_command(
    path: str, content: bytes | None, rule: str, text: str | None, command: str | None, board: Path
) -> None:
    (board / path).unlink() if content is None else (board / path).write_bytes(content)
    errors = findings(board, "error")
    if text is None:  # the card is still there
        assert not errors
        return
    assert command is not None
    (error,) = errors
    assert error.rule == rule
    assert text in error.text
    assert command in error.command


def test_a_kernel_without_the_vendors_driver(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("renderD129", "card1"):
        (board / f"sys/class/drm/{name}/device/uevent").unlink()
    (error,) = findings(board, "error")
    assert "no node under /dev/dri belongs to the driver RKNPU" in error.text
    assert "linux-image-vendor-rk35xx" in error.command
    (board / "sys/module/rocket").mkdir(parents=True)
    (error,) = findings(board, "error")
    assert "the mainline driver, rocket" in error.text
    (board / "dev/rknpu").write_bytes(b"")  # the vendor's older way
    assert not findings(board, "error")
    (board / "dev/rknpu").chmod(0o600)
    monkeypatch.setattr(os, "access", lambda path, how: False)
    (error,) = findings(board, "error")
    assert 'KERNEL=="rknpu", GROUP="render"' in error.command


@pytest.mark.parametrize(
    ("mode", "group", "members", "text", "command"),
    [
        (0o660, 108, [], "may not open /dev/dri/card1, which is the group render's", "usermod -aG render"),
        (0o660, 108, ["pi"], "pi is in the group render, but was not at log-in", "newgrp render"),
        (0o600, 108, [], "is open to root alone", 'DRIVERS=="RKNPU", GROUP="render"'),
        (0o660, 0, [], "is open to root alone", "tee /etc/udev/rules.d/99-rknpu.rules"),
    ],
)
def test_missing_permissions_have_a_command_that_mends_them(
    mode: int,
    group: int,
    members: list[str],
    text: str,
    command: str,
    board: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = Path.stat

    def stat(self: Path, **options: Any) -> Any:
        if self.parent.name == "dri":
            return SimpleNamespace(st_mode=0o020000 | mode, st_gid=group)
        return real(self, **options)

    monkeypatch.setattr(Path, "stat", stat)
    monkeypatch.setattr(os, "access", lambda path, how: False)
    monkeypatch.setattr(doctor, "_user_name", lambda: "pi")
    monkeypatch.setattr(grp, "getgrgid", lambda number: SimpleNamespace(gr_name="render", gr_mem=members))
    first, second = findings(board, "error")
    assert text in first.text
    assert command in first.command
    assert second.rule == "nodes"


def test_a_container_that_hides_the_device_tree(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (board / CHIP).unlink()
    (board / ".dockerenv").write_bytes(b"")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    (error,) = findings(board, "error")
    assert "--security-opt systempaths=unconfined" in error.command
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    (error,) = findings(board, "error")
    assert "this is no Rockchip board" in error.text


def test_a_governor_that_moves_is_a_note(board: Path) -> None:
    (board / GOVERNOR).write_text("rknpu_ondemand\n")
    (note,) = findings(board, "note")
    assert "fdab0000.npu: rknpu_ondemand, 1000 of 1000 MHz" in note.text
    assert note.command == f"echo performance | sudo tee /{GOVERNOR}"


def test_a_driver_that_only_root_may_ask(board: Path) -> None:
    (board / "sys/kernel/debug/rknpu/version").unlink()
    (note,) = findings(board, "note")
    assert (note.rule, note.command) == ("driver", "sudo cat /sys/kernel/debug/rknpu/version")


@pytest.mark.parametrize(
    ("error", "command"),
    [
        (ModuleNotFoundError("No module named 'pkg_resources'"), "'setuptools<82'"),
        (OSError("librknnrt.so: cannot open"), "rknn-toolkit-lite2==2.3.2"),
    ],
)
def test_an_rknnlite_that_cannot_be_imported(
    error: Exception, command: str, board: Path, debians: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(name: str) -> ModuleType:
        raise error

    find_spec = importlib.util.find_spec
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "pip" or find_spec(name))
    monkeypatch.setattr("importlib.import_module", fail)
    monkeypatch.setattr(sys, "prefix", "/home/pi/npu")  # an environment
    (found,) = findings(board, "warning")
    assert (found.rule, found.command) == ("rknnlite", f"/usr/bin/python3 -m pip install {command}")


@pytest.fixture
def debians(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The Python is Debian's, and the value the file by which it refuses packages of pip's."""
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3")
    monkeypatch.setattr(sys, "prefix", sys.base_prefix)
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path))
    return tmp_path / "EXTERNALLY-MANAGED"


def test_rknnlite_is_installed_where_pip_may(
    board: Path, debians: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scirknn.devices.compatibility.distribution_version", lambda name: None)
    found = {"pip": None, "rknnlite": None}
    monkeypatch.setattr("importlib.util.find_spec", found.get)

    def told() -> tuple[str, str]:
        (note,) = findings(board, "note")
        assert note.rule == "rknnlite"
        return note.text, note.command

    install = "-m pip install rknn-toolkit-lite2==2.3.2"
    assert told()[1] == f"sudo apt install python3-pip && /usr/bin/python3 {install}"
    found["pip"] = object()  # type: ignore[assignment]
    assert told()[1] == f"/usr/bin/python3 {install}"
    debians.touch()
    text, command = told()
    assert "takes packages in an environment only" in text
    assert "/usr/bin/python3 -m venv --system-site-packages ~/npu" in command
    assert command.endswith(f"&& ~/npu/bin/python3 {install}")


def test_a_python_that_the_vendor_has_no_wheel_for(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 14, 0, "final", 0))
    (found,) = findings(board, "note")
    assert "has wheels for 3.7 to 3.12" in found.text


def test_a_model_is_held_against_the_board_and_run(
    board: Path, make_bundle: MakeBundle, lite: type[FakeLite], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_bundle(fitted("softmax"))
    edit_metadata(path, toolkit={"version": "2.3.2", "model_format": 6, "target_platform": "rk3588"})
    (board / RUNTIME).write_bytes(b"\0librknnrt version: 1.5.0 (e6fe0c678@2023-05-25T08:09:20)\0")
    monkeypatch.setattr(lite, "fail_init", True)
    told = {each.rule: each for each in findings(board, "error", bundle=scirknn.read_bundle(path))}
    assert told["format"].command == runtime_command("2.3.2")
    assert "RKNN_ERR_FAIL" in told["model"].text


def test_the_virtual_npu_needs_none_of_that(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("virtual_npu", reason="virtual-npu is not installed")
    assert main(["doctor", "--device", "virtual"]) == 0
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [
        ["ok", "python"], ["ok", "numpy"], ["ok", "virtual-npu"],
    ]  # fmt: skip
    monkeypatch.setattr(doctor, "distribution_version", lambda name: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    (error,) = (each for each in doctor.examine(device="virtual") if each.level == "error")
    assert error.rule == "virtual-npu"


def test_the_command_prints_each_cure(
    board: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (board / RUNTIME).unlink()
    monkeypatch.setattr(doctor, "examine", functools.partial(doctor.examine, root=str(board)))
    assert main(["doctor"]) == 1
    told = capsys.readouterr().out.splitlines()
    line = next(number for number, text in enumerate(told) if text.startswith("error"))
    assert told[line + 1].strip().startswith("$ sudo curl -fL -o /usr/lib/librknnrt.so https://github.com/")


@pytest.mark.parametrize(("emulator", "device"), [(True, "virtual"), (None, "cpu")])
def test_a_pc_has_one_finding_that_there_is_no_npu(
    emulator: bool | None,
    device: str,
    board: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (board / CHIP).unlink()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: emulator)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.delenv("SCIRKNN_DEVICE", raising=False)
    monkeypatch.setattr(doctor, "examine", functools.partial(doctor.examine, root=str(board)))
    assert main(["doctor"]) == 1
    assert capsys.readouterr().out == (
        "  chip      x86-64: this is no Rockchip board, so there is no NPU here\n"
        f"  next      to try models on this machine:  export SCIRKNN_DEVICE={device}\n"
    )


def test_doctor_writes_nothing(board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A doctor who looks must not touch: every file is opened for reading."""
    real = builtins.open
    modes = []

    def watched(file: Any, mode: str = "r", *rest: Any, **options: Any) -> Any:
        modes.append(mode)
        return real(file, mode, *rest, **options)

    monkeypatch.setattr(builtins, "open", watched)
    findings(board)
    assert not any(set(mode) & set("wax+") for mode in modes)


def test_commands_name_only_what_there_is() -> None:
    assert "rockchip-linux/rknpu2/raw/v1.5.0/runtime/RK3588/Linux" in runtime_command("1.5.0", "rk3588")
    assert "rockchip-linux/rknn-toolkit2/raw/v1.6.0/" in runtime_command("1.6.0")
    assert runtime_command("2.5.0") == ""  # by a share link only
    assert lite_command("2.3.0").endswith("rknn-toolkit-lite2==2.3.0")
    assert lite_command("1.5.0") == ""
