"""The probe's questions, to the virtual NPU, whose answers are known, and to NPUs that compute otherwise."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import sklearn2rknn
import virtual_npu
from rknn_harness.boards.session.timing_calls import SamplingBounds, Timed
from rknn_harness.errors import BoardError, ConnectionLostError, InfraError
from rknn_harness.probe.asking import QUESTIONS, ask
from rknn_harness.probe.bench import Bench
from rknn_harness.probe.models import FORMS, dense
from rknn_harness.probe.question import FAILED, UNDECIDED, Answer, PredictionQuestion, packed, unpacked
from rknn_harness.probe.questions.timing import EMULATED
from sklearn2rknn.errors import ConversionError
from sklearn2rknn.toolkit.toolkit import Built
from tests.harness.probe import planted
from tests.harness.probe.planted import InProcess, Plant
from virtual_npu.execute import data_processor_stages
from virtual_npu.execute import virtual_npu as executor

Array = npt.NDArray[Any]


class Builder:
    """A toolkit that remembers."""

    def __init__(self, toolkit: sklearn2rknn.Toolkit) -> None:
        self._toolkit, self._known = toolkit, dict[Any, Built]()

    def build(
        self, model: bytes, *, config: Any, calibration: Array | None = None, timeout: float = 300.0
    ) -> Built:
        key = (model, str(config), None if calibration is None else calibration.tobytes())
        if key not in self._known:
            self._known[key] = self._toolkit.build(model, config=config, calibration=calibration)
        return self._known[key]


@pytest.fixture(scope="module")
def toolkit(toolkit: sklearn2rknn.Toolkit) -> Builder:
    return Builder(toolkit)


def answer(question: str, toolkit: Builder, device: Any = None) -> Answer:
    device = device or InProcess()
    return QUESTIONS[question].ask(Bench(toolkit, lambda: device, virtual=True))


UNTIMED = [name for name, question in QUESTIONS.items() if not question.timed]


@pytest.mark.parametrize("name", UNTIMED)
def test_the_virtual_npu_answers_as_it_is_built(name: str, toolkit: Builder) -> None:
    question, found = QUESTIONS[name], answer(name, toolkit)
    assert found.key == question.assumed, found.note
    assert found.key in question.answers
    for entry in found.raw.values():
        assert unpacked(entry).size


@pytest.mark.parametrize("name", [name for name, q in QUESTIONS.items() if isinstance(q, PredictionQuestion)])
def test_possible_answers_differ_in_what_they_predict(name: str, toolkit: Builder) -> None:
    question = QUESTIONS[name]
    assert isinstance(question, PredictionQuestion)
    bench = Bench(toolkit, InProcess, virtual=True)
    predictions = question.predict(bench.file(question.model))
    assert predictions.keys() == question.answers.keys()
    with np.errstate(invalid="ignore"):
        for (a, first), (b, second) in itertools.combinations(predictions.items(), 2):
            apart = abs(first - second) > 2 * question.tolerance
            assert (apart | (np.isnan(first) != np.isnan(second))).any(), (a, b)


def _half_up(values: Array) -> Array:
    rounded: Array = np.floor(values + 0.5)
    return rounded


def _half_away(values: Array) -> Array:
    rounded: Array = np.copysign(np.floor(abs(values) + 0.5), values)
    return rounded


PLANTED: list[tuple[str, str, Plant]] = [
    ("input_rounding", "toward_zero", planted.input_rounding("toward_zero")),
    ("input_rounding", "nearest_away", planted.input_rounding("nearest_away")),
    ("output_rounding", "toward_zero", planted.output_rounding("toward_zero")),
    ("output_rounding", "nearest_away", planted.output_rounding("nearest_away")),
    ("output_rounding", "nearest_up", planted.output_rounding("nearest_up")),
    ("output_rounding", "down", planted.output_rounding("down")),
    ("product_precision", "11_bits_nearest", planted.products_of(11, "nearest_even")),
    ("product_precision", "20_bits_cut", planted.products_of(20, "toward_zero")),
    ("accumulator_bits", "wide", planted.in_order_of("exact")),
    ("accumulator_bits", "narrower", planted.in_order_of("float16_in_order")),
    ("sum_order", "in_order", planted.in_order_of("in_order")),
    ("sum_order", "backwards", planted.in_order_of("backwards")),
    ("sum_order", "exact", planted.in_order_of("exact")),
    ("sum_order", "blocks_of_16_exact", planted.in_order_of("blocks_of_16_exact")),
    ("sum_order", "lanes_16_tree", planted.in_order_of("lanes_16_tree")),
    ("bias_precision", "float16", planted.stage(np.add, planted.bias_of_half)),
    ("subnormals", "flushed_input", planted.flushed(executor)),
    ("subnormals", "flushed_output", planted.flushed(data_processor_stages)),
    ("subnormals", "flushed_weight", planted.sums(planted.weights_flushed)),
    ("overflow", "saturates", planted.overflow(planted.capped)),
    ("overflow", "infinity_above", planted.overflow(planted.early_infinity)),
    ("nan_input", "zero", planted.nan_taken_for(0.0)),
    ("nan_input", "its_outputs", planted.sums(planted.zero_weights_skipped)),
    ("infinite_input", "skips_zero", planted.sums(planted.zero_weights_skipped)),
    ("infinite_input", "saturates", planted.sums(planted.infinity_taken_for_largest)),
    ("relu_of_nan", "zero", planted.stage(np.maximum, planted.relu_without_nan)),
    ("division", "cut", planted.output_rounding("toward_zero")),
    ("conv_add", "twice", planted.rounded_before_an_addition),
    ("division", "half_reciprocal", planted.division(planted.by_reciprocal)),
    ("tanh_between_entries", "entry_nearest", planted.table(planted.nearest_entry)),
    ("tanh_between_entries", "linear_entries_cut", planted.table(planted.whole_steps)),
    ("tanh_between_entries", "linear_and_one", planted.table(planted.offset_counts)),
    ("tanh_beyond_table", "held_elsewhere", planted.table(planted.shorter)),
    ("tanh_beyond_table", "extrapolated", planted.table(planted.going_on)),
    ("tanh_beyond_table", "function", planted.table(planted.hyperbolic_tangent)),
    ("tanh_of_nan", "low_end", planted.nan_at_the_low_end),
    ("sigmoid_between_entries", "entry_nearest", planted.table(planted.nearest_entry)),
    ("sigmoid_beyond_table", "held_elsewhere", planted.table(planted.shorter)),
    ("sigmoid_beyond_table", "extrapolated", planted.table(planted.going_on)),
    ("sigmoid_beyond_table", "function", planted.table(planted.logistic)),
    ("int8_output_rounding", "half_up_after_half_up", planted.integer_output(_half_up)),
    ("int8_output_rounding", "half_away_after_half_even", planted.integer_output(_half_away)),
    ("int8_output_rounding", "half_even", planted.share_rounded(np.asarray)),
    ("int8_output_rounding", "toward_zero", planted.integer_output(np.trunc)),
    ("int8_output_rounding", "half_even_after_half_up", planted.share_rounded(_half_up)),
    ("int8_output_range", "wraps", planted.integer_output(_half_up, wraps=True)),
    ("int8_input_rounding", "half_away", planted.quantized(_half_away)),
    ("int8_input_range", "nan_lowest", planted.quantized(np.rint, nan=-128.0)),
    ("int16_sums", "wraps_32", planted.narrow_integers(32)),
    ("int16_sums", "wide", planted.narrow_integers(60)),
    ("int16_sums", "saturates_36", planted.narrow_integers(36, saturates=True)),
    ("int16_sums", "wraps_36", planted.narrow_integers(36)),
]


@pytest.mark.parametrize(("name", "expected", "plant"), PLANTED, ids=[f"{n}-{e}" for n, e, _ in PLANTED])
def test_an_npu_that_computes_otherwise_is_noticed(
    name: str, expected: str, plant: Plant, toolkit: Builder, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch)
    found = answer(name, toolkit)
    assert found.key == expected, found.note


def test_what_fits_no_answer_is_undecided_and_kept(toolkit: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    planted.sums(lambda kernels, rows: (rows @ kernels.T.astype(np.float32)) * np.float32(1.01))(monkeypatch)
    found = answer("sum_order", toolkit)
    assert found.key == UNDECIDED
    assert "nearest is" in found.note
    question = QUESTIONS["sum_order"]
    assert isinstance(question, PredictionQuestion)
    np.testing.assert_array_equal(unpacked(found.raw["x"]), question.rows)
    assert unpacked(found.raw["y"]).shape == (8, 16)


def test_the_simulator_s_order_of_sums_is_told_from_exact_ones(toolkit: Builder) -> None:
    assert answer("sum_order", toolkit, InProcess(arithmetic="simulator")).key == "in_order"


class _Restless(InProcess):
    """The last bit of one value differs now and then."""

    def __init__(self, when: Any) -> None:
        super().__init__()
        self._when, self._count = when, 0

    def run_raw(self, x: Array, *, deadline: float = 60.0) -> Array:
        y = super().run_raw(x)
        self._count += 1
        if self._when(self):
            y.flat[7] = np.nextafter(y.flat[7], np.float32(9))
        return y


@pytest.mark.parametrize(
    ("name", "when"),
    [
        ("repeats", lambda device: device._count == 5),
        ("cores", lambda device: device.core == "0_1_2"),
        ("row_position", lambda device: True),
    ],
)
def test_differing_bits_are_noticed(name: str, when: Any, toolkit: Builder) -> None:
    assert answer(name, toolkit, _Restless(when)).key == "differ"


class _Picky(InProcess):
    def load_raw(self, model: bytes, core: str = "auto", *, deadline: float = 60.0) -> None:
        if core in ("0_1", "0_1_2"):
            raise BoardError("load_error", "NativeError", "one core only")
        super().load_raw(model, core)


def test_refused_cores_are_told(toolkit: Builder) -> None:
    found = answer("cores", toolkit, _Picky())
    assert found.key == "some"
    assert found.figures["refused"] == {"0_1": "one core only", "0_1_2": "one core only"}


def test_a_hang_is_no_refusal(toolkit: Builder) -> None:
    class Hung(InProcess):
        def load_raw(self, model: bytes, core: str = "auto", *, deadline: float = 60.0) -> None:
            raise BoardError("timeout", "DeadlineExceeded", "no answer within 60 s")

    device = Hung()
    bench = Bench(toolkit, lambda: device, virtual=True)
    found = ask([QUESTIONS["form_height"], QUESTIONS["cores"]], bench)
    assert [each.answer.key for each in found] == [FAILED, FAILED]
    assert "no answer within 60 s" in found[0].answer.note


@pytest.mark.parametrize("form", FORMS[:2])
def test_a_form_that_computes_wrong_is_noticed(form: str, toolkit: Builder) -> None:
    class Shuffled(InProcess):
        def run_raw(self, x: Array, *, deadline: float = 60.0) -> Array:
            return super().run_raw(x)[:, ::-1]

    assert answer(f"form_{form}", toolkit, Shuffled()).key == "wrong"


class Clockwork(InProcess):
    """Takes as long as virtual_npu.estimate has it, or `slowness` times that."""

    def __init__(self, slowness: float) -> None:
        super().__init__()
        self._slowness = slowness

    def time_raw(self, x: Array, bounds: SamplingBounds) -> Timed:
        low, high = virtual_npu.estimate(virtual_npu.read(self.file)).seconds
        seconds = (low + high) / 2 * self._slowness
        if self.core == "0_1_2":
            seconds /= 2
        return Timed(
            np.full(9, seconds) * np.linspace(0.999, 1.001, 9), {"moved": False, "pinned": {"npu": 1}}
        )


# Of the costs, those whose models are built fast.
@pytest.mark.parametrize("name", ["submit_cost", "layer_cost", "row_cost", "fastest_form"])
def test_costs_are_read_off_times(name: str, toolkit: Builder) -> None:
    def key(slowness: float) -> str:
        device = Clockwork(slowness)
        return QUESTIONS[name].ask(Bench(toolkit, lambda: device, virtual=False)).key

    if name == "fastest_form":
        assert key(1) in ("height", "width")  # MatMul's transpositions are tasks of their own
    else:
        assert [key(0.1), key(1), key(10)] == ["faster", "as_estimated", "slower"]


def test_times_of_a_virtual_board_are_no_facts(toolkit: Builder) -> None:
    found = answer("submit_cost", toolkit)
    assert found.key == EMULATED
    assert set(found.figures) == {"emulated"}
    assert "no fact of an NPU" in found.note


def test_a_failing_question_stops_no_other(toolkit: Builder) -> None:
    class Cut(InProcess):
        def run_raw(self, x: Array, *, deadline: float = 60.0) -> Array:
            if x.size == 64:  # the model of the second question
                raise ConnectionLostError("cut")
            return super().run_raw(x)

    class NoInt8(Builder):
        def build(self, model: bytes, *, config: Any, **options: Any) -> Built:
            if "quantized_dtype" in config:
                raise ConversionError("build", "no int8 today", "")
            return super().build(model, config=config, **options)

    broken: list[InfraError] = []
    device = Cut()
    bench = Bench(NoInt8(toolkit._toolkit), lambda: device, virtual=True)
    names = ["repeats", "input_rounding", "int8_input_rounding", "tanh_beyond_table"]
    found = ask([QUESTIONS[name] for name in names], bench, on_lost_board=broken.append)
    assert [each.answer.key for each in found] == ["same", FAILED, FAILED, "held"]
    assert found[1].answer.note == "The connection to the board failed: cut"
    assert "no int8 today" in found[2].answer.note
    assert len(broken) == 1


def test_nothing_is_begun_past_the_deadline(toolkit: Builder, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    device = InProcess()
    monkeypatch.setattr("rknn_harness.probe.bench.monotonic", clock)
    bench = Bench(toolkit, lambda: device, virtual=True, seconds=12.0)
    found = ask([QUESTIONS[name] for name in ("input_rounding", "repeats", "cores")], bench)
    assert [each.answer.key for each in found] == ["nearest_even", FAILED, FAILED]
    assert found[2].answer.note == "The time for all questions was up."


def test_rows_find_their_way_in_and_out() -> None:
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    for form in FORMS:
        model = dense(np.eye(4), samples=3, form=form)
        x = model.shaped(rows)
        output = x.transpose(0, 1, 2, 3) if form != "matmul" else x
        np.testing.assert_array_equal(model.rows(output), rows)
    with pytest.raises(ValueError, match="takes 3 x 4"):
        model.shaped(rows[:2])
    with pytest.raises(ValueError, match="came back"):
        model.rows(np.zeros((2, 4)))


def test_raw_data_keep_their_bits() -> None:
    values = np.array([[np.nan, -0.0], [1e-42, np.inf]], np.float32)
    again = unpacked(packed(values))
    np.testing.assert_array_equal(again.view(np.uint32), values.view(np.uint32))
    for shape in ([3], [5]):
        with pytest.raises(ValueError, match=r"reshape|buffer size"):
            unpacked({**packed(values), "shape": shape})
