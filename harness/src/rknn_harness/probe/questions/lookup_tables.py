"""float16 tanh and sigmoid: what lies between the entries of the file's table, and what beyond its ends."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Final

import attrs
import numpy as np

import virtual_npu
from rknn_harness.errors import BoardError
from rknn_harness.probe.bench import Bench, refusal
from rknn_harness.probe.models import Calibration, Model, dense
from rknn_harness.probe.question import UNDECIDED, Answer, FunctionQuestion, PredictionQuestion, Question
from rknn_harness.probe.questions.float_rounding import rounded
from scirknn.arrays import Array

_CHANNELS: Final = 8
_START, _STEP, _SEGMENTS = -16384, 32, 1024
# The scales that toolkits write, and so the ends: |x| <= 16384 / scale (2.2.0 to 2.5.0; softmax to 2.3.2).
_SCALES: Final = {"Tanh": 5424.0, "Sigmoid": 2596.0, "Softmax": 3276.0}
_FUNCTIONS: Final[Mapping[str, Callable[[Array], Array]]] = {
    "Tanh": np.tanh,
    "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}
_OFFSET: Final = 1  # OUT_CVT_OFFSET behind the vendor's tables
_ASSUMED: Final = "linear_of_nearest_even_and_one"
_LUT_ACCESS_DATA: Final = 0x4104  # Mesa rocket registers.xml


@attrs.frozen
class Table:
    """A file's table of 1,025 entries in units of 2^-15, over `scale` times x from -16384 to 16384."""

    entries: Array = attrs.field(eq=False, repr=False)
    scale: float

    def position(self, x: Array) -> Array:
        """Return where x falls, in entries, not held within the table; the scale multiplies in float32."""
        scaled = np.asarray(x, np.float32) * np.float32(self.scale)
        position: Array = (scaled.astype(np.float64) - _START) / _STEP
        return position


def table(file: bytes, operator: str) -> Table:
    """Take the table out of a model file's register program.

    Raises
    ------
    ValueError
        There are not 2 x 513 entries one after another.
    """
    commands = virtual_npu.read(file).registers
    written = np.flatnonzero((commands & np.uint64(0xFFFF)) == _LUT_ACCESS_DATA)
    # Every task clears the register; an upload writes it many times in a row.
    runs = [run for run in np.split(written, np.flatnonzero(np.diff(written) != 1) + 1) if len(run) >= 513]
    if len(runs) < 2 or any(len(run) != 513 for run in runs[:2]):
        raise ValueError(f"The file uploads tables of {[len(run) for run in runs]} entries, not 513 and 513.")
    low, high = (_signed(commands[run]) for run in runs[:2])
    return Table(np.concatenate([low[:-1], high]), _SCALES[operator])


def _signed(commands: Array) -> Array:
    values = (commands >> np.uint64(16) & np.uint64(0xFFFFFFFF)).astype(np.uint32)
    signed: Array = values.view(np.int32).astype(np.float64)
    return signed


def half_of_steps(values: Array) -> Array:
    """Return what a float16 holds of a table's entries, steps of 2^-15."""
    return rounded(values * 2.0**-15, "nearest_even")


def _between(file_table: Table, x: Array) -> dict[str, Array]:
    """Return what each way to look up makes of x within the table."""

    def linear(position: Array) -> Array:
        at = np.clip(position, 0, _SEGMENTS).astype(np.float32)
        segment = np.minimum(at.astype(np.int64), _SEGMENTS - 1)
        base, rise = file_table.entries[segment], np.diff(file_table.entries)[segment]
        single: Array = np.float32(base) + (at - segment.astype(np.float32)) * np.float32(rise)
        return single

    position = file_table.position(x)
    near, below = np.rint(position * _STEP) / _STEP, np.floor(position * _STEP) / _STEP
    return {
        "linear": half_of_steps(linear(position)),
        "linear_and_one": half_of_steps(linear(position) + np.float32(1)),
        "linear_entries_whole": half_of_steps(np.floor(linear(position).astype(np.float64) + 0.5)),
        "linear_entries_cut": half_of_steps(np.floor(linear(position))),
        "linear_of_nearest": half_of_steps(linear(near)),
        "linear_of_nearest_whole": half_of_steps(np.floor(linear(near).astype(np.float64) + 0.5)),
        _ASSUMED: half_of_steps(np.rint(linear(near).astype(np.float64)) + _OFFSET),
        "linear_of_nearest_cut": half_of_steps(np.floor(linear(near))),
        "linear_of_lower": half_of_steps(linear(below)),
        "linear_of_lower_whole": half_of_steps(np.floor(linear(below).astype(np.float64) + 0.5)),
        "linear_of_lower_cut": half_of_steps(np.floor(linear(below))),
        "entry_below": half_of_steps(file_table.entries[np.floor(position).astype(np.int64)]),
        "entry_nearest": half_of_steps(file_table.entries[np.rint(position).astype(np.int64)]),
    }


def _model(operator: str, samples: int) -> Model:
    return dense(np.eye(_CHANNELS), samples=samples, activation=operator)


def _between_question(operator: str) -> Question:
    end = -_START / _SCALES[operator] * 0.98
    rows = np.linspace(-end, end, 256 * _CHANNELS).astype(np.float16).astype(np.float32)
    rows = rows.reshape(256, _CHANNELS)
    way = {"": "rounded once, to float16", "_whole": "rounded to 2^-15", "_cut": "cut off to 2^-15"}
    index = {
        "linear": "On straight lines between the entries",
        "linear_of_nearest": "On straight lines, of the nearest of 32 places between entries",
        "linear_of_lower": "On straight lines, of the lower of 32 places between entries",
    }
    answers = {
        (f"linear_entries{suffix}" if key == "linear" and suffix else key + suffix): f"{text}, {how}."
        for key, text in index.items()
        for suffix, how in way.items()
    }
    return PredictionQuestion(
        name=f"{operator.lower()}_between_entries",
        text=f"How does {operator} come from the file's table, between its entries?",
        why="It is the error of every unit with that activation.",
        answers={
            **answers,
            "linear_and_one": "On straight lines, and a step of 2^-15 more: OUT_CVT_OFFSET, which is 1.",
            _ASSUMED: "On straight lines, of the nearest of 32 places between entries, rounded to 2^-15 with "
            "halves to even, and a step of 2^-15 more.",
            "entry_below": "The entry below.",
            "entry_nearest": "The nearest entry.",
        },
        assumed=_ASSUMED,
        decided_in="virtual_npu.execute.lookup_table",
        model=_model(operator, 256),
        rows=rows,
        predict=lambda file: _between(table(file, operator), rows),
    )


def _go_beyond(operator: str, bench: Bench) -> Answer:
    """Go out to four times the table's range and see what the outputs come to."""
    model = _model(operator, 512)
    file_table = table(bench.file(model), operator)
    end = -_START / file_table.scale
    x = np.linspace(-4 * end, 4 * end, 512 * _CHANNELS).astype(np.float16).astype(np.float32)
    y = bench.run(model, x.reshape(512, _CHANNELS)).reshape(-1)
    low, high = y[0], y[-1]
    function = _FUNCTIONS[operator](x.astype(np.float64))
    # The last inputs at which the output still moves.
    moving = np.flatnonzero((y != low) & (y != high))
    middle = moving[len(moving) // 2] if len(moving) else len(x) // 2
    first = int(np.flatnonzero(y[:middle] == low)[-1] + 1) if middle else 0
    last = int(middle + np.flatnonzero(y[middle:] == high)[0] - 1)
    figures = {
        "file_ends_at": float(end),
        "moves_from": float(x[first]),
        "moves_to": float(x[last]),
        "value_below": float(low),
        "value_above": float(high),
        "largest_difference_from_the_function": float(np.max(abs(y - function))),
    }
    beyond = abs(x) > end * 1.01
    held = half_of_steps(file_table.entries[[0, -1]] + np.array([[0], [_OFFSET]]))
    exact = abs(y - function)[beyond].max() < 3 * 2.0**-12  # a step and a half of float16 below 1
    if exact:
        key = "function"
    elif (y[beyond] == held[:, (x[beyond] > 0).astype(int)]).all(axis=1).any():
        # The table's last steps may round to one float16: it ends where it says, or a little before.
        near = 0.8 * end < -x[first] < 1.01 * end and 0.8 * end < x[last] < 1.01 * end
        key = "held" if near else "held_elsewhere"
    elif (y[:64] == low).all() and (y[-64:] == high).all():
        key = "held_elsewhere"
    elif _grows_on(x[beyond], y[beyond], file_table):
        key = "extrapolated"
    else:
        key = UNDECIDED
    return Answer.of_run(key, figures, x, y)


def _grows_on(x: Array, y: Array, file_table: Table) -> bool:
    """Say whether y goes on along the table's first and last segments."""
    position = file_table.position(x).astype(np.float64)
    rise = np.diff(file_table.entries)[[0, -1]]
    line = np.where(
        position < 0,
        file_table.entries[0] + position * rise[0],
        file_table.entries[-1] + (position - _SEGMENTS) * rise[-1],
    )
    return bool(abs(y - line * 2.0**-15).max() < 2.0**-8)


def _ends_question(operator: str) -> Question:
    return FunctionQuestion(
        run=functools.partial(_go_beyond, operator),
        name=f"{operator.lower()}_beyond_table",
        text=f"Where does the {operator} table end, and what comes beyond?",
        why="A tanh held at 0.9952 costs a saturated unit half a percent; the simulator shows none of it.",
        answers={
            "held": "The value at the file's end of the table holds beyond it.",
            "held_elsewhere": "A value holds beyond an end, but not the file's end or value.",
            "extrapolated": "The last segment's line goes on.",
            "function": "It is the function itself, right to a step, as the simulator has it.",
        },
        assumed="held",
        decided_in="virtual_npu.execute.lookup_table",
    )


def _no_number(operator: str) -> Question:
    rows = np.arange(-32, 32, dtype=np.float32).reshape(8, _CHANNELS) / 128
    rows[2, 3] = np.nan
    kernels = np.ones((_CHANNELS, _CHANNELS))

    def predict(file: bytes) -> dict[str, Array]:
        file_table = table(file, operator)
        sums = rows.astype(np.float64) @ kernels.T
        usual = _between(file_table, np.nan_to_num(sums))[_ASSUMED]
        gone = np.isnan(sums)
        ends = half_of_steps(file_table.entries[[0, -1, 512]] + _OFFSET)
        values = dict(zip(("low_end", "high_end", "of_zero"), ends, strict=True))
        return {key: np.where(gone, v, usual) for key, v in {"nan": np.nan, **values}.items()}

    return PredictionQuestion(
        name=f"{operator.lower()}_of_nan",
        text=f"What does the {operator} table give for NaN?",
        why="A lookup can turn a NaN into an ordinary number.",
        answers={
            "nan": "NaN.",
            "low_end": "The first entry.",
            "high_end": "The last entry.",
            "of_zero": "The entry of 0.",
        },
        assumed="nan",
        decided_in="virtual_npu.execute.lookup_table",
        model=dense(kernels, samples=8, activation=operator),
        rows=rows,
        predict=predict,
    )


def _try_int16_tanh(bench: Bench) -> Answer:
    """Compare with tanh."""
    rows = np.linspace(-3, 3, 16 * _CHANNELS, dtype=np.float32).reshape(16, _CHANNELS)
    model = dense(
        np.eye(_CHANNELS), samples=16, activation="Tanh", calibration=Calibration("int16", rows[None])
    )
    try:
        outputs = bench.run(model, rows)
    except BoardError as error:
        return Answer("refused", note=refusal(error))
    largest = float(abs(outputs - np.tanh(rows)).max())
    key = "right" if largest < 2.0**-7 else "wrong"
    return Answer.of_run(key, {"largest_error": largest}, rows, outputs)


LOOKUP_QUESTIONS: Final[tuple[Question, ...]] = (
    _between_question("Tanh"),
    _ends_question("Tanh"),
    _no_number("Tanh"),
    _between_question("Sigmoid"),
    _ends_question("Sigmoid"),
    FunctionQuestion(
        run=_try_int16_tanh,
        name="int16_tanh",
        text="Is tanh of an int16 model right?",
        why="Its program looks up a table that no task of it uploads.",
        answers={"right": "Yes.", "wrong": "No.", "refused": "The runtime refuses the file."},
        assumed="refused",
        decided_in="virtual_npu.execute.lookup_table",
    ),
)
