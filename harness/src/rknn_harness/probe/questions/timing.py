"""What a submit, a layer, a row, a byte of weights, a multiply-add cost; and what cores and forms gain.

Each cost is the slope of a line through medians (Theil and Sen's), or where it begins. The same line through
`virtual_npu.estimate` of the same files is what it is compared with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

import attrs
import numpy as np
from scipy.stats import median_abs_deviation, theilslopes

import virtual_npu
from rknn_harness.probe.bench import Bench, try_each
from rknn_harness.probe.models import FORMS, Calibration, Model, dense
from rknn_harness.probe.question import FAILED, UNDECIDED, Answer, FunctionQuestion, Question, packed
from rknn_harness.probe.questions.graph_forms import example
from scirknn.arrays import Array

EMULATED = "emulated"
"""The answer of a virtual board to every question of time."""

_SLACK: Final = 1.25  # a rate within a quarter of a single published one is as estimated
_POINTS_EMULATED: Final = 2
_Points = Mapping[float, Model]


def _answer(bench: Bench, key: str, figures: dict[str, Any], samples: Mapping[str, Array]) -> Answer:
    raw = {name: packed(values) for name, values in samples.items()}
    if bench.virtual:
        note = "Taken on a virtual board: these times are an emulator's, and no fact of an NPU."
        return Answer(EMULATED, {EMULATED: figures}, raw, note)
    return Answer(key, figures, raw)


def _summary(samples: Array) -> dict[str, Any]:
    return {
        "median": float(np.median(samples)),
        "mad": float(median_abs_deviation(samples)),
        "count": len(samples),
    }


_ANSWERS: Final = {
    "as_estimated": "As virtual_npu.estimate has it.",
    "faster": "Less than virtual_npu.estimate has it.",
    "slower": "More than virtual_npu.estimate has it.",
    EMULATED: "Timed on a virtual board, so not known.",
}


@attrs.frozen(kw_only=True)
class _Line(Question):
    """A slope, in seconds a unit, or where the line begins, in seconds.

    Attributes
    ----------
    unit : str
        What the points' numbers count.
    read : {"slope", "start"}
    points : function
        Gives each number's model.
    """

    answers: Mapping[str, str] = _ANSWERS
    assumed: str = "as_estimated"
    decided_in: str = "virtual_npu.inspection.time_estimate"
    timed: bool = True
    unit: str
    read: Literal["slope", "start"]
    points: Callable[[], _Points] = attrs.field(eq=False, repr=False)

    def ask(self, bench: Bench) -> Answer:
        """Time each point, draw the line, and compare it with the estimate's."""
        chosen = dict(list(self.points().items())[: _POINTS_EMULATED if bench.virtual else None])
        samples = {f"{number:g}": bench.seconds(model) for number, model in chosen.items()}
        medians = [float(np.median(values)) for values in samples.values()]
        x = np.array(list(chosen))
        slope, start, low, high = (float(value) for value in theilslopes(medians, x))
        estimates = [virtual_npu.estimate(virtual_npu.read(bench.file(m))).seconds for m in chosen.values()]
        lines = [theilslopes([pair[i] for pair in estimates], x) for i in (0, 1)]
        if self.read == "slope":
            value, interval = slope, (low, high)
            expected = sorted(float(line[0]) for line in lines)
        else:
            residuals = np.array(medians) - slope * x
            value, interval = start, (float(residuals.min()), float(residuals.max()))
            expected = sorted(float(line[1]) for line in lines)
        figures = {
            "unit": f"seconds a {self.unit}" if self.read == "slope" else "seconds",
            "value": value,
            "interval": list(interval),
            "a_second": 1 / value if self.read == "slope" and value > 0 else None,
            "estimate": expected,
            "points": {name: _summary(values) for name, values in samples.items()},
        }
        above, below = interval[0] > expected[1] * _SLACK, interval[1] < expected[0] / _SLACK
        key = "slower" if above else "faster" if below else "as_estimated"
        return _answer(bench, key if value > 0 else UNDECIDED, figures, samples)


def _time_cores(bench: Bench) -> Answer:
    """Time a large layer on one core and on three."""
    model = _square(1024, 64 if bench.virtual else 512)
    samples = {core: bench.seconds(model, core) for core in ("0", "0_1_2")}
    one, three = (float(np.median(values)) for values in samples.values())
    figures = {"gain": one / three, "points": {core: _summary(v) for core, v in samples.items()}}
    key = "gain" if one / three > 1.2 else "loss" if one / three < 1 / 1.2 else "none"
    return _answer(bench, key, figures, samples)


def _time_forms(bench: Bench) -> Answer:
    """Time every form that runs."""
    samples, refused = try_each(FORMS, lambda form: bench.seconds(example(form, 64)[0]))
    if not samples:
        return Answer(FAILED, {"refused": refused}, note="No form runs.")
    fastest = min(samples, key=lambda form: float(np.median(samples[form])))
    figures = {"points": {form: _summary(v) for form, v in samples.items()}, "refused": refused}
    return _answer(bench, fastest, figures, samples)


def _square(width: int, samples: int, precision: str = "float16") -> Model:
    weights = np.random.default_rng(width).uniform(-1, 1, (width, width)) / width
    if precision == "float16":
        return dense(weights, samples=samples)
    rows = np.random.default_rng(0).uniform(-1, 1, (1, samples, width)).astype(np.float32)
    return dense(weights, samples=samples, calibration=Calibration(precision, rows))


def _layers() -> _Points:
    weights = np.random.default_rng(6).uniform(-1, 1, (64, 64)) / 8
    return {float(n): dense(*[weights] * n, samples=8, activation="Relu") for n in (1, 2, 4, 8, 16, 32)}


def _rows() -> _Points:
    weights = np.random.default_rng(6).uniform(-1, 1, (64, 64)) / 8
    return {float(n): dense(weights, samples=n, activation="Relu") for n in (8, 64, 256, 1024, 2047)}


def _weight_bytes() -> _Points:
    return {2.0 * n * n: _square(n, 1) for n in (512, 1024, 1536, 2048)}


def _products(precision: str) -> Callable[[], _Points]:
    return lambda: {1024.0 * 1024 * n: _square(1024, n, precision) for n in (256, 512, 768, 1024)}


TIMING_QUESTIONS: Final[tuple[Question, ...]] = (
    _Line(
        name="submit_cost",
        text="What does a run cost before its first layer?",
        why="It decides how many rows a run should take, and whether small networks gain at all.",
        unit="layer",
        points=_layers,
        read="start",
    ),
    _Line(
        name="layer_cost",
        text="What does a small layer add?",
        why="A layer is a task; published figures differ by a factor of three.",
        unit="layer",
        points=_layers,
        read="slope",
    ),
    _Line(
        name="row_cost",
        text="What does a row add to a small network's run?",
        why="It is the host's share: rows are converted and copied.",
        unit="row",
        points=_rows,
        read="slope",
    ),
    _Line(
        name="weight_cost",
        text="What does a byte of weights cost where one row is run?",
        why="One row of a large layer waits for memory.",
        unit="byte",
        points=_weight_bytes,
        read="slope",
    ),
    *(
        _Line(
            name=f"product_cost_{precision}",
            text=f"What does a multiply-add cost in {precision}, where many rows are run?",
            why="It is the NPU's speed proper.",
            unit="multiply-add",
            points=_products(precision),
            read="slope",
        )
        for precision in ("float16", "int8", "int16")
    ),
    FunctionQuestion(
        run=_time_cores,
        name="three_cores",
        text="Is a large layer faster on all three cores than on one?",
        why="Users report no gain; a pool of single cores may serve better.",
        answers={
            "gain": "Yes, by more than a fifth.",
            "none": "No.",
            "loss": "It is slower.",
            EMULATED: _ANSWERS[EMULATED],
        },
        assumed="gain",
        decided_in="scirknn.devices.core_pool",
        timed=True,
    ),
    FunctionQuestion(
        run=_time_forms,
        name="fastest_form",
        text="Which form of a small network is the fastest?",
        why="The converter writes one of them by default.",
        answers={**{form: f"Rows on {form}." for form in FORMS}, EMULATED: _ANSWERS[EMULATED]},
        assumed="height",
        decided_in="sklearn2rknn.network.onnx_graph",
        timed=True,
    ),
)
