"""Fit what a call costs to published times, and judge each source by the fit of the others.

``python -m benchmarks.fit_times`` prints every figure beside the band of the others, the table of
docs/time-estimate.md, and the constants of `virtual_npu.inspection.time_rates`.

A figure is a sum: a fixed cost by what was timed, tasks, bytes of weights and of features, and multiply-adds
at the multipliers' full rate. The costs are fitted by least squares of the logarithms, each figure alike.
"""

from __future__ import annotations

import csv
import math
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import least_squares, nnls

from virtual_npu.inspection.time_rates import BUFFER_BYTES, CLOCK, MULTIPLIERS, TimeRates

DATA: Final = Path(__file__).parent / "data"
LEVEL: Final = 0.75
"""Share of the residuals that a band holds."""

_FIXED: Final = {"profile": 0, "device": 0, "run": 1, "python": 1, "driver": 2}
"""Column of the fixed cost by what was timed; a task of a chain has none."""
_PYTHON_INPUTS: Final = 1536  # elements, of the one network that was timed in Python
_START: Final = (15e-6, 100e-6, 100e-6, 12e-6, 1 / 11e9, 1 / 9e9)
_DTYPES: Final = {"int8": "int8", "fp16": "float16"}

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A published time and what it was spent on.

    Attributes
    ----------
    has_shape : bool
        Else it is a small operator or a chain of such, and counts as tasks that move nothing [assumed].
    timed : str
        A layer in the runtime's profile, a run, the driver's call, the device alone, a task, or Python.
    seconds : float
    counts : tuple of float
        How often each cost of the fit occurs.
    compute : float
        Seconds that the multiply-adds take at full rate.
    """

    origin: str
    name: str
    has_shape: bool
    timed: str
    seconds: float
    counts: tuple[float, ...]
    compute: float


@dataclass(frozen=True)
class Judged:
    """A figure beside the band of a fit that has not seen its source, in seconds."""

    figure: Figure
    estimate: float
    low: float
    high: float

    @property
    def is_inside(self) -> bool:
        """Whether the band holds it."""
        return self.low <= self.figure.seconds <= self.high


def read_figures() -> tuple[Figure, ...]:
    """Return the figures whose work is known: those with a shape, single operators, chains of small tasks."""
    with (DATA / "published_times.csv").open(newline="", encoding="utf-8") as stream:
        return tuple(_figure(row) for row in csv.DictReader(stream) if row["timed"])


def _figure(row: dict[str, str]) -> Figure:
    weights, moved, inputs = (
        float(row[name] or 0) for name in ("weight_bytes", "moved_bytes", "input_bytes")
    )
    row_tiles = max(1, math.ceil(inputs / BUFFER_BYTES))
    programs = float(row["task_programs"] or 1)  # a profile of three cores counts all six programs
    tasks = max(1.0, float(row["tasks"]) / programs) if row["tasks"] else row_tiles
    reads = row_tiles if weights > BUFFER_BYTES else 1
    fixed = [0.0, 0.0, 0.0]
    if row["timed"] in _FIXED:
        fixed[_FIXED[row["timed"]]] = 1.0
    rate = MULTIPLIERS[_DTYPES[row["precision"]]] * CLOCK * float(row["npu_mhz"]) / 1000
    return Figure(
        origin=row["origin"],
        name=row["shape_or_model"],
        has_shape=row["has_shape"] == "1",
        timed=row["timed"],
        seconds=float(row["ms"]) / 1000,
        counts=(*fixed, tasks, weights * reads, moved - weights),
        compute=float(row["multiply_adds"] or 0) / rate,
    )


def fit(figures: tuple[Figure, ...]) -> Array:
    """Return the costs in seconds: profile, run, driver, task, weight byte, feature byte."""
    used = [figure for figure in figures if figure.timed != "python"]
    counts = np.array([figure.counts for figure in used])
    compute = np.array([figure.compute for figure in used])
    measured = np.log([figure.seconds for figure in used])

    def errors(logs: Array) -> Any:
        return np.log(counts @ np.exp(logs) + compute) - measured

    return np.asarray(np.exp(least_squares(errors, np.log(_START), xtol=1e-12, ftol=1e-12).x), np.float64)


def _run(figure: Figure, costs: Array) -> float:
    return float(np.dot(figure.counts, costs)) + figure.compute


def leave_one_out() -> list[Judged]:
    """Return each figure with a shape beside the band that the other sources give."""
    judged = []
    for origin in _origins():
        without = frozenset({origin})
        low, high = _band(without)
        for figure in read_figures():
            if figure.origin == origin and figure.has_shape:
                seconds = _run(figure, _costs(without))
                judged.append(Judged(figure, seconds, low * seconds, high * seconds))
    return judged


def fitted_band() -> tuple[float, float]:
    """Return the band of all sources, as multiples of the estimate."""
    return _band(frozenset())


def fitted_rates() -> TimeRates:
    """Return the rates of all sources."""
    _, run, _, task, weight_byte, feature_byte = costs = _costs(frozenset())
    per_input, per_output = fit_host()
    (python,) = [figure for figure in read_figures() if figure.timed == "python"]
    return TimeRates(
        submit=float(run),
        task=float(task),
        weight_bytes=float(1 / weight_byte),
        feature_bytes=float(1 / feature_byte),
        input_element=per_input,
        output_element=per_output,
        call=python.seconds - _run(python, costs) - per_input * _PYTHON_INPUTS,
    )


def fit_host() -> tuple[float, float]:
    """Return what the host takes to convert an element of the input and of the output, in seconds."""
    with (DATA / "published_host_times.csv").open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    seconds = np.array([float(row["ms"]) / 1000 for row in rows])
    elements = np.array([[float(row["input_elements"]), float(row["output_elements"])] for row in rows])
    per_input, per_output = nnls(elements / seconds[:, None], np.ones(len(rows)))[0]
    return float(per_input), float(per_output)


def summary(judged: list[Judged]) -> list[str]:
    """Return the table of docs/time-estimate.md, a line a source."""
    lines = [
        "| source | figures | inside | published / estimate | width of the band |",
        "|---|---|---|---|---|",
    ]
    for origin in _origins():
        own = [each for each in judged if each.figure.origin == origin]
        if own:
            ratios = [each.figure.seconds / each.estimate for each in own]
            inside, width = sum(each.is_inside for each in own), own[0].high / own[0].low
            ends = f"{min(ratios):.2f} to {max(ratios):.2f}"
            lines.append(f"| {origin} | {len(own)} | {inside} | {ends} | {width:.2f} |")
    inside, width = sum(each.is_inside for each in judged), np.median([e.high / e.low for e in judged])
    return [*lines, f"| all | {len(judged)} | {inside} | | {width:.2f} (median) |"]


@cache
def _origins() -> tuple[str, ...]:
    return tuple(sorted({figure.origin for figure in read_figures()}))


@cache
def _costs(left_out: frozenset[str]) -> Array:
    return fit(tuple(figure for figure in read_figures() if figure.origin not in left_out))


@cache
def _band(left_out: frozenset[str]) -> tuple[float, float]:
    """Return between which multiples of a fit without their source and `left_out` most figures lie."""
    ratios = [
        figure.seconds / _run(figure, _costs(left_out | {figure.origin}))
        for figure in read_figures()
        if figure.origin not in left_out
    ]
    low = np.quantile(ratios, (1 - LEVEL) / 2, method="lower")
    return float(low), float(np.quantile(ratios, (1 + LEVEL) / 2, method="higher"))


def main() -> None:
    """Fit and print."""
    judged = leave_one_out()
    print("| source | figure | ms | band, ms | inside |\n|---|---|---|---|---|")
    for each in judged:
        figure, ends = each.figure, f"{1e3 * each.low:.3g} to {1e3 * each.high:.3g}"
        inside = "yes" if each.is_inside else "no"
        print(f"| {figure.origin} | {figure.name} | {1e3 * figure.seconds:.3g} | {ends} | {inside} |")
    print("", *summary(judged), "", sep="\n")
    for name, value in asdict(fitted_rates()).items():
        print(f"{name:14} {value:.3g}")
    print("{:14} {:.3g} to {:.3g}".format("band", *fitted_band()))


if __name__ == "__main__":
    main()
