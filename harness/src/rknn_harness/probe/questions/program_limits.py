"""What programs of the toolkit's may ask of a chip: rows of a task, one row, full lines, cores, lane 0."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import numpy as np

import virtual_npu
from rknn_harness.errors import BoardError
from rknn_harness.probe.bench import Bench, refusal, try_each
from rknn_harness.probe.models import Calibration, dense
from rknn_harness.probe.question import FAILED, NOTES, UNDECIDED, Answer, FunctionQuestion, Question
from rknn_harness.probe.questions.elementwise import with_quotient
from virtual_npu.inspection.lane_events import LaneZero

_SIZES: Final = (1023, 1024, 2047, 2048, 4096)
_REPEATS: Final = 20


def _count_rows_of_a_task(bench: Bench) -> Answer:
    """Run rows that each hold their own number."""
    wrong: dict[str, int] = {}
    refused: dict[str, str] = {}
    rows = outputs = np.zeros((0, 8), np.float32)
    for size in _SIZES:
        rows = np.zeros((size, 8), np.float32)
        rows[:, 0], rows[:, 1] = np.arange(size) // 64, np.arange(size) % 64
        into, back = np.zeros((16, 8)), np.zeros((8, 16))
        into[0, 0] = into[1, 1] = back[0, 0] = back[1, 1] = 1.0
        model = dense(into, back, samples=size, biases=[np.ones(16), np.zeros(8)], activation="Relu")
        expected = np.zeros((size, 8))
        expected[:, :2] = rows[:, :2] + 1
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", virtual_npu.OverWideFieldWarning)
                outputs = bench.run(model, rows)
        except BoardError as error:
            refused[str(size)], wrong[str(size)] = refusal(error), size
            continue
        wrong[str(size)] = int((outputs != expected).any(axis=1).sum())
    right = [not wrong[str(size)] for size in _SIZES]
    keys = {5: "all", 3: "to_2047", 0: "none"}
    key = keys.get(sum(right), UNDECIDED) if right == sorted(right, reverse=True) else UNDECIDED
    return Answer.of_run(key, {"wrong_rows": wrong, "refused": refused}, rows, outputs)


def _run_few_rows(bench: Bench) -> Answer:
    """Run the same rows one, two, three and four at a time."""
    rng = np.random.default_rng(8)
    shapes = ((128, 64), (128, 128), (10, 128))
    weights = [rng.normal(size=shape) / np.sqrt(shape[1]) for shape in shapes]
    rows = np.maximum(rng.normal(size=(4, 64)), 0).astype(np.float32)  # zeros: no events on lane 0
    found = {n: bench.run(dense(*weights, samples=n, activation="Relu"), rows[:n]) for n in (4, 3, 2, 1)}
    counts = {str(n): int((each != found[4][:n]).sum()) for n, each in found.items() if n < 4}
    key = "differ" if any(counts.values()) else "same"
    return Answer.of_run(key, {"differing_from_four_rows": counts}, rows, found[4])


def _run_full_lines(bench: Bench) -> Answer:
    """Run int8 layers whose bytes need a bank less than their lines, and compare with the program."""
    rng = np.random.default_rng(9)
    wrong: dict[str, int] = {}
    rows = outputs = np.zeros((0, 0), np.float32)
    cases = [((1184, 64, 10), n) for n in range(189, 194)] + [((64, 48, 1), 64)]
    for widths, samples in cases:
        weights = [rng.normal(size=(b, a)) / np.sqrt(a) for a, b in pairwise(widths)]
        rows = rng.uniform(-1, 1, (samples, widths[0])).astype(np.float32)
        calibration = Calibration("int8", rows[None])
        model = dense(*weights, samples=samples, activation="Relu", calibration=calibration)
        outputs = bench.run(model, rows)
        file = virtual_npu.read(bench.file(model))
        here = model.rows(virtual_npu.VirtualNpu(file).run(model.shaped(rows)))
        step = file.outputs[0].scale or 1.0
        over = np.abs(outputs - here) > 1.5 * step  # the library's rounding of inputs may be another
        wrong[f"{'-'.join(map(str, widths))}, {samples} rows"] = int(over.any(axis=1).sum())
    key = "wrong" if any(wrong.values()) else "right"
    return Answer.of_run(key, {"wrong_rows": wrong}, rows, outputs)


def _run_on_several_cores(bench: Bench) -> Answer:
    """Run a refined tanh on several cores at once, again and again."""
    rng = np.random.default_rng(10)
    rows = np.abs(rng.normal(size=(1024, 16))).astype(np.float32)  # fewer than 32: no events on lane 0
    weights = rng.normal(size=(64, 16)) / 4
    model = with_quotient(dense(weights, samples=len(rows), activation="Tanh"))
    one = bench.run(model, rows, "0")

    def count_varying(core: str) -> int:
        found = [bench.run(model, rows, core) for _ in range(2 if bench.virtual else _REPEATS)]
        return int(np.any([each != one for each in found], axis=(0, 2)).sum())

    varying, refused = try_each(("0_1", "0_1_2"), count_varying)
    key = FAILED if not varying else "vary" if any(varying.values()) else "same"
    return Answer.of_run(key, {"rows_that_differ": varying, "refused": refused}, rows, one)


def _look_for_lane_events(bench: Bench) -> Answer:
    """Run one layer on each core; every output must be a value with an event, or without."""
    rng = np.random.default_rng(11)
    rows = np.tanh(rng.normal(size=(512, 64))).astype(np.float16).astype(np.float32)
    model = dense(rng.normal(size=(32, 64)) / 8, samples=len(rows))
    events = LaneZero(virtual_npu.read(bench.file(model))).run(model.shaped(rows))
    found, _ = try_each(("0", "1", "2"), lambda core: bench.run(model, rows, core))
    counts: dict[str, Mapping[str, int]] = {}
    outputs = events.output
    for core, outputs in found.items():
        places = np.argwhere(outputs != events.output).tolist()
        own = sum(bool(outputs[p, c] in events.values(p, c)) for p, c in places)
        counts[core] = {"events": own, "others": len(places) - own}
    others = sum(each["others"] for each in counts.values())
    key = FAILED if not counts else "elsewhere" if others else "as_published"
    figures: dict[str, Any] = {"values": outputs.size, "differing": counts}
    return Answer.of_run(key, figures, rows, outputs)


LIMIT_QUESTIONS: Final[tuple[Question, ...]] = (
    FunctionQuestion(
        run=_count_rows_of_a_task,
        name="rows_a_task",
        text="How many rows can a task take: are 1,023, 1,024, 2,047, 2,048 and 4,096 right?",
        why="The toolkits write a height of up to 5,632 into a field that was published with 11 bits.",
        answers={
            "all": "All are right: the field holds more than 11 bits.",
            "to_2047": "Up to 2,047: the height has 11 bits, and more rows are wrong or refused.",
            "none": "None are: not even 1,023, where FEATURE_GRAINS has all its bits set.",
        },
        assumed="all",
        decided_in="virtual_npu.program.field_widths",
        blind_spot="It cannot show heights past 4,096, of which the toolkits write up to 5,632.",
    ),
    FunctionQuestion(
        run=_run_few_rows,
        name="one_row",
        text="Do one, two and three rows a run give what four give?",
        why="A formula in others' generators computes garbage below four rows.",
        answers={"same": "Yes, to the bit.", "differ": "No; the figures say how many values differ."},
        assumed="same",
        decided_in="virtual_npu.execute.convolution",
        published="one-row programs ran right: github.com/allbilly/rk3588 at 40fae7b1, conv_plan.md",
        blind_spot="It cannot show events on lane 0, which zeros among the inputs prevent.",
    ),
    FunctionQuestion(
        run=_run_full_lines,
        name="full_lines",
        text="Are int8 layers right whose bytes need a bank less than their lines of 64 bytes?",
        why="A row takes full lines of the buffer; counted in bytes, the last rows would be lost.",
        answers={"right": "Yes, within a step.", "wrong": "No; the figures say in how many rows."},
        assumed="right",
        decided_in="virtual_npu.execute.convolution",
        published=f"the sizes that go wrong when counted in bytes: {NOTES}",
        blind_spot="It cannot show a step that the library's rounding of inputs and the NPU's make together.",
    ),
    FunctionQuestion(
        run=_run_on_several_cores,
        name="cores_wait",
        text="Does a core wait for what another makes, where elementwise layers follow a split one?",
        why="No register that can be read makes core 1 wait in a refined tanh.",
        answers={"same": "Yes: no row differs from one core's.", "vary": "No; the figures count the rows."},
        assumed="same",
        decided_in="virtual_npu.program.loader",
        blind_spot="Twenty runs cannot show a race that is lost less often.",
    ),
    FunctionQuestion(
        run=_look_for_lane_events,
        name="lane_zero",
        text="Do the cores differ from the program on lane 0 alone, and by the published event?",
        why="What is admitted of a board's answers depends on it.",
        answers={
            "as_published": "Every output is the program's, or that with one published event on lane 0.",
            "elsewhere": "Some are neither; the figures count them.",
        },
        assumed="as_published",
        decided_in="virtual_npu.inspection.lane_events",
        published=NOTES,
        blind_spot="Of 3,072 outputs on lane 0 none need have an event: one in 16,384 had in attention data.",
    ),
)
