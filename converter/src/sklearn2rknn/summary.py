"""What a user needs to know of a conversion, in some lines of at most 80 columns."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from rich.text import Text

from sklearn2rknn.checking.built_file_check import last_word
from sklearn2rknn.tolerances import FEWEST_ROWS

__all__ = ["Conversion", "is_counted", "summary"]

WIDTH = 80
INDENT = 12

CPU_RATE = 8 * 2.4e9
"""Multiply-adds a second of one A76 core at its best: two 128-bit FMLA a cycle (Arm, Cortex-A76
Software Optimization Guide) at the RK3588's 2.4 GHz."""


class Conversion(Protocol):
    """What is read of a `ConversionReport`."""

    @property
    def path(self) -> Path: ...  # noqa: D102
    @property
    def files(self) -> Mapping[str, int]: ...  # noqa: D102
    @property
    def samples(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def task(self) -> str: ...  # noqa: D102
    @property
    def widths(self) -> tuple[int, ...]: ...  # noqa: D102
    @property
    def precision(self) -> str: ...  # noqa: D102
    @property
    def target_platform(self) -> str: ...  # noqa: D102
    @property
    def placement(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def check(self) -> Mapping[str, Any]: ...  # noqa: D102
    @property
    def estimate(self) -> tuple[float, float] | None: ...  # noqa: D102


def summary(report: Conversion) -> list[Text]:
    """Return the lines: the files, what is right, how fast it is, what to do next."""
    known, right = _right(report)
    quoted = shlex.quote(str(report.path.with_suffix("")))
    lines = _files(report)
    lines += _titled("right", right, "" if known else "yellow")
    lines += _titled("speed", _speed(report))
    lines += [_line("next", f"scp {quoted}.* BOARD:   then there   {_predict(report.path)}")]
    return lines


def is_counted(check: Mapping[str, Any]) -> bool:
    """Whether enough rows that the file was not built from were checked, for a share to be stated."""
    return int(check.get("held_out", 0)) >= FEWEST_ROWS


def _files(report: Conversion) -> list[Text]:
    names = ", ".join([str(report.path), *list(report.files)[1:], f"{report.path.name}.json"])
    placement = report.placement
    layers = placement["npu"] + placement["cpu"]
    placed = f"{layers} layers all on the NPU"
    if "unknown" in placement:
        placed = "placement of its layers not known"
    elif placement["cpu"]:
        placed = f"{placement['npu']} of {layers} layers on the NPU"
    kilobytes = sum(report.files.values()) / 1000
    facts = f"{kilobytes:.0f} kB, {report.precision}, {report.target_platform.upper()}, {placed}"
    if len(names) + len(facts) + 4 <= WIDTH:
        return [Text(f"  {names}  {facts}")]
    return [Text(f"  {names}"), _line("", facts)]


def _right(report: Conversion) -> tuple[bool, str]:
    """Return whether something is known, and the sentence."""
    check = report.check
    if "off" in check:
        return False, "unknown: the check is off"
    if check["input"] == "random":
        return False, "unknown: give rows (--example-input)"
    if not is_counted(check):
        return False, (
            f"not checked on rows of its own: give {2 * FEWEST_ROWS} rows or more (--example-input), or "
            f"{FEWEST_ROWS} others (--check-input)"
        )
    found, rows = last_word(check), check["rows"]
    kind = "held-out rows" if check["input"] == "held_out" else "rows of --check-input"
    by = " by the simulator" if "unavailable" in check.get("virtual_npu", {}) else ""
    if report.task == "regressor":
        if "r2" in found:
            return True, f"R2 {found['r2']:.6f} against scikit-learn on {rows} {kind}{by}"
        return True, f"outputs within {found['max_error']:.2g} of scikit-learn's on {rows} {kind}{by}"
    what, count = "label", rows
    if report.task == "multilabel":
        what, count, kind = "value", rows * report.widths[-1], f"labels of {rows} {kind}"
    return True, (
        f"{round(found['labels'] * count)} of {count} {kind} have scikit-learn's {what}{by} "
        f"(probabilities ±{found['max_probability_error']:.2g})"
    )


def _speed(report: Conversion) -> str:
    if report.estimate is None:
        return "unknown: there is an estimate for the RK3588 alone"
    low, high = (1000 * seconds for seconds in report.estimate)
    rows, products = report.samples[0], sum(a * b for a, b in itertools.pairwise(report.widths))
    cpu = 1000 * rows * products / CPU_RATE
    text = f"{low:.2g} to {high:.2g} ms for up to {rows} row{'s' * (rows > 1)} (estimate). "
    text += f"One A76 core needs {cpu:.1g} ms at best."
    if cpu < low:
        text += " The CPU is likely faster."
    return text


def _predict(path: Path) -> str:
    return f"scirknn predict {shlex.quote(path.name)} X.csv"


def _titled(title: str, text: str, style: str = "") -> list[Text]:
    """Break a text between words, the title before its first line."""
    lines, line = list[str](), ""
    for word in text.split(" "):
        if line and INDENT + len(line) + 1 + len(word) > WIDTH:
            lines, line = [*lines, line], word
        else:
            line = f"{line} {word}".strip()
    return [_line(title if i == 0 else "", each, style) for i, each in enumerate([*lines, line])]


def _line(title: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"  {title:{INDENT - 2}}", "bold"), (text, style))
