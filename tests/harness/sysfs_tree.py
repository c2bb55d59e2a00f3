"""Files as a board's kernel shows its clocks by, with their values at rest."""

from __future__ import annotations

from pathlib import Path

NPU = "sys/class/devfreq/fdab0000.npu"
DDR = "sys/class/devfreq/dmc"
CPU = "sys/devices/system/cpu/cpufreq/policy4"
ZONE = "sys/class/thermal/thermal_zone6"

INTERRUPTS = """\
CPU0       CPU1
 26:       1033          0     GICv3  30 Level     arch_timer
 40:         71          0     GICv3 142 Level     fdab9000.iommu, fdab0000.npu
 41:          0          0     GICv3 143 Level     fdaba000.iommu, fdab0000.npu
 52:          9          0     GICv3 150 Level     fdab0000.npux
IPI0:         5          2     Rescheduling interrupts"""

FILES = {
    f"{NPU}/governor": "rknpu_ondemand",
    f"{NPU}/available_governors": "rknpu_ondemand userspace powersave performance simple_ondemand",
    f"{NPU}/cur_freq": "1000000000",
    f"{NPU}/available_frequencies": "300000000 400000000 1000000000",
    f"{DDR}/governor": "userspace",
    f"{DDR}/available_governors": "dmc_ondemand userspace powersave",
    f"{DDR}/cur_freq": "2112000000",
    f"{DDR}/available_frequencies": "528000000 2112000000",
    f"{DDR}/userspace/set_freq": "528000000",
    f"{CPU}/scaling_governor": "ondemand",
    f"{CPU}/scaling_available_governors": "ondemand performance",
    f"{CPU}/scaling_cur_freq": "2352000",
    f"{CPU}/scaling_max_freq": "2352000",
    "proc/interrupts": INTERRUPTS,
    **{f"proc/irq/{number}/smp_affinity_list": "0-7" for number in (40, 41)},
    **{f"sys/devices/system/cpu/cpu{n}/cpu_capacity": str(1024 if n >= 4 else 530) for n in range(8)},
    f"{ZONE}/type": "npu-thermal",
    f"{ZONE}/temp": "41615",
}


def make_tree(root: Path) -> Path:
    """Write the files below `root`; a governor written there moves no clock, all are at their highest."""
    for name, value in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{value}\n")
    return root


def shown(root: Path, name: str) -> str:
    """Return a file's text."""
    return (root / name).read_text().strip()
