"""The board's facts, read from trees as boards have them."""

from __future__ import annotations

from pathlib import Path

import pytest

from rknn_harness.board_runner.facts import gather

FILES = {
    "proc/device-tree/model": b"Radxa ROCK 5B\0",
    "proc/device-tree/compatible": b"radxa,rock-5b\0rockchip,rk3588\0",
    "proc/meminfo": b"MemTotal:       16000000 kB\nMemFree: 1 kB\nMemAvailable:   15000000 kB\n",
    "usr/lib/librknnrt.so": b"\x7fELF"
    + bytes(70_000)
    + b"librknnrt version: 1.5.0 (e6fe0c678@2023-05-25T08:09:20)\0x",
    "sys/kernel/debug/rknpu/version": b"RKNPU driver: v0.8.2\n",
    "sys/class/devfreq/fdab0000.npu/governor": b"rknpu_ondemand\n",
    "sys/class/devfreq/fdab0000.npu/cur_freq": b"1000000000\n",
    "sys/class/devfreq/fdab0000.npu/available_frequencies": b"300000000 1000000000\n",
    "sys/class/devfreq/dmc/governor": b"dmc_ondemand\n",
    "sys/class/devfreq/dmc/cur_freq": b"2112000000\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_governor": b"performance\n",
    "sys/devices/system/cpu/cpufreq/policy4/scaling_cur_freq": b"2352000\n",
    "sys/class/thermal/thermal_zone0/type": b"soc-thermal\n",
    "sys/class/thermal/thermal_zone0/temp": b"41615\n",
    "sys/class/thermal/thermal_zone6/type": b"npu-thermal\n",
    "sys/class/thermal/thermal_zone6/temp": b"unreadable\n",
}


def test_facts_are_in_si_units(tmp_path: Path) -> None:
    for name, content in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    facts = gather(str(tmp_path))
    assert facts["model"] == "Radxa ROCK 5B"
    assert facts["compatible"] == ["radxa,rock-5b", "rockchip,rk3588"]
    assert facts["librknnrt"] == "1.5.0 (e6fe0c678@2023-05-25T08:09:20)"
    assert facts["driver"] == "RKNPU driver: v0.8.2"
    assert facts["npu"] == {
        "governor": "rknpu_ondemand",
        "frequency": 1_000_000_000,
        "available": [300_000_000, 1_000_000_000],
    }
    assert facts["ddr"] == {"governor": "dmc_ondemand", "frequency": 2_112_000_000, "available": None}
    assert facts["cpu"] == {
        "policy4": {"governor": "performance", "frequency": 2_352_000_000, "maximum": None}
    }
    assert facts["temperatures"] == {"soc-thermal": 41.615}
    assert facts["memory"] == {"total": 16_384_000_000, "available": 15_360_000_000}


def test_what_is_absent_is_none(tmp_path: Path) -> None:
    facts = gather(str(tmp_path))
    here = {"device", "virtual", "machine", "kernel", "python", "numpy", "rknnlite", "virtual_npu", "cpus"}
    assert {name for name, value in facts.items() if value is not None} <= here


@pytest.mark.parametrize(
    ("device", "machine", "virtual"),
    [
        ("npu", "aarch64", False),
        ("virtual", "aarch64", True),
        ("npu", "x86_64", True),
        ("npu", "armv7l", False),
    ],
)
def test_a_board_says_whether_an_npu_runs_its_models(
    device: str, machine: str, virtual: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    facts = gather(str(tmp_path), device)
    assert (facts["device"], facts["virtual"]) == (device, virtual)


def test_an_empty_or_damaged_runtime_has_no_version(tmp_path: Path) -> None:
    library = tmp_path / "usr/lib/librknnrt.so"
    library.parent.mkdir(parents=True)
    for content in (b"", b"librknnrt version: ", b"librknnrt version: " + b"1" * 5000):
        library.write_bytes(content)
        assert gather(str(tmp_path))["librknnrt"] is None
