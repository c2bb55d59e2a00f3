"""Faults planted in the converter, its file, the executor, the runner and the runtime: each is caught by the
property that is there for it, and the sentence begins with the stage.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import attrs
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import scirknn
import sklearn2rknn
import virtual_npu
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.session.model_calls import Prediction
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.session.timing_calls import SamplingBounds, Timed
from rknn_harness.conformance.properties import latency_baseline
from rknn_harness.conformance.run_case import run_case
from rknn_harness.conformance.timing import Timing
from rknn_harness.records.case import PROPERTIES, dataset_case, family_case
from rknn_harness.records.latency import Latency, summarize
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.specs.family_spec import FamilySpec
from rknn_harness.verdicts import judge
from rknn_harness.verdicts.method_bounds import answers_to
from rknn_harness.verdicts.reference import Reference
from scirknn.bundle.sidecar import with_digest
from sklearn2rknn.network.onnx_graph import onnx_from_network

TOOLKIT = "2.3.2"
BRIEF = Timing(SamplingBounds(0, 20, 0.0, 1.0), in_scikit_learn=False)
CASE = dataset_case("iris", "float16", TOOLKIT, (64,))

Array = np.ndarray[Any, Any]
Patch = pytest.MonkeyPatch


@pytest.fixture(scope="module")
def link(board: Board) -> Iterator[BoardLink]:
    # Its times count as a board's, so that what is asked of times is asked here.
    with BoardLink(attrs.evolve(board, virtual=False)) as opened:
        yield opened


class Wrong:
    """A session in which one thing goes wrong."""

    def __init__(self, session: BoardSession) -> None:
        self.session = session
        self.calls = 0
        self.core: str | None = None  # None where it is not chosen
        self.models = self.timing = self

    def __getattr__(self, name: str) -> Any:
        owners = (self.session, self.session.models, self.session.timing)
        return getattr(next(owner for owner in owners if hasattr(owner, name)), name)

    def predict(self, X: Array) -> Prediction:
        return self.spoiled(self.session.models.predict(X), X)

    def outputs(self, X: Array, inputs: Sequence[Array]) -> list[Array]:
        found = zip(self.session.models.outputs(X, inputs), inputs, strict=True)
        return [self.output(each, X[given] if given.ndim == 1 else given) for each, given in found]

    def outputs_on(self, cores: Sequence[str], X: Array) -> dict[str, Array]:
        found = {}
        for core, output in self.session.models.outputs_on(cores, X).items():
            self.core = core
            found[core] = self.output(output, X)
        return found

    def output(self, output: Array, X: Array) -> Array:
        return self.spoiled(Prediction(output, output.argmax(axis=1), None), X).output

    def spoiled(self, found: Prediction, X: Array) -> Prediction:
        self.calls += 1
        return self.spoil(found, X)

    def spoil(self, found: Prediction, X: Array) -> Prediction:
        return found


def one_more(found: Prediction, where: Any = slice(None)) -> Prediction:
    """The same answer, its output one unit of float32 further at some places."""
    output = found.output.copy()
    output[where] = np.nextafter(output[where], np.float32(np.inf))
    return attrs.evolve(found, output=output)


class LateRows(Wrong):
    def spoil(self, found: Prediction, X: Array) -> Prediction:
        parts = (found.output, found.predictions, found.probabilities)
        return Prediction(*(None if part is None else np.roll(part, 1, axis=0) for part in parts))  # type: ignore[arg-type]


class NoNumbers(Wrong):
    def spoil(self, found: Prediction, X: Array) -> Prediction:
        return attrs.evolve(found, output=np.full_like(found.output, np.nan))


class SwappedLabels(Wrong):
    def spoil(self, found: Prediction, X: Array) -> Prediction:
        classes, places = np.unique(found.predictions, return_inverse=True)
        return attrs.evolve(found, predictions=classes[::-1][places])


class CoarseBoard(Wrong):
    def spoil(self, found: Prediction, X: Array) -> Prediction:
        return attrs.evolve(found, output=found.output * np.float32(1.01))


class SecondAnswer(Wrong):
    def spoil(self, found: Prediction, X: Array) -> Prediction:
        return one_more(found) if self.calls == 2 else found


class FirstRow(Wrong):
    def spoil(self, found: Prediction, X: Array) -> Prediction:
        return one_more(found, 0)


class AloneIsOther(Wrong):
    def spoil(self, found: Prediction, X: Array) -> Prediction:
        return one_more(found) if len(X) == 1 else found


class Float32IsOther(Wrong):
    def spoil(self, found: Prediction, X: Array) -> Prediction:
        return one_more(found) if X.dtype == np.float32 else found


class IntegersAreOther(Wrong):
    def spoil(self, found: Prediction, X: Array) -> Prediction:
        return one_more(found) if X.dtype.kind == "i" else found


class CoreTwoIsOther(Wrong):
    def spoil(self, found: Prediction, X: Array) -> Prediction:
        return one_more(found) if self.core == "2" else found


class PoolMixesRows(Wrong):
    def spoil(self, found: Prediction, X: Array) -> Prediction:
        return attrs.evolve(found, output=np.roll(found.output, 1, axis=0)) if self.core == "pool" else found


class SlowBatch(Wrong):
    def time_model(self, X: Array, bounds: SamplingBounds) -> Timed:
        return Timed(np.full(50, 1e-4 if len(X) == 1 else 1.0), {})


def session_is(kind: type[Wrong]) -> Callable[[Patch, BoardLink], None]:
    def plant(patch: Patch, link: BoardLink) -> None:
        wrong = kind(link.session())
        patch.setattr(link, "session", lambda: wrong)

    return plant


def graph_is(edit: Callable[[onnx.ModelProto], None]) -> Callable[[Patch, BoardLink], None]:
    """The converter writes another graph than it means to."""

    def plant(patch: Patch, link: BoardLink) -> None:
        right = onnx_from_network

        def wrong(*arguments: Any) -> onnx.ModelProto:
            model = right(*arguments)
            edit(model)
            return model

        patch.setattr("sklearn2rknn.build.onnx_from_network", wrong)

    return plant


def without_bias(model: onnx.ModelProto) -> None:
    bias = next(each for each in model.graph.initializer if each.name == "bias_1")
    bias.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(bias)), "bias_1"))


def swapped_outputs(model: onnx.ModelProto) -> None:
    for name in ("weights_1", "bias_1"):
        part = next(each for each in model.graph.initializer if each.name == name)
        part.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(part)[::-1].copy(), name))


def second_build_differs(patch: Patch, link: BoardLink) -> None:
    right, seen = sklearn2rknn.Toolkit.start, set[bytes]()

    def start(self: Any, model: bytes, **more: Any) -> Any:
        changed = onnx.load_from_string(model)
        if model in seen:
            without_bias(changed)
        seen.add(model)
        return right(self, changed.SerializeToString(), **more)

    patch.setattr(sklearn2rknn.Toolkit, "start", start)


def every_build_loses_a_bias(patch: Patch, link: BoardLink) -> None:
    """The toolkit says all is well: only the numbers tell, the converter's check among them."""
    right = sklearn2rknn.Toolkit.start

    def start(self: Any, model: bytes, **more: Any) -> Any:
        changed = onnx.load_from_string(model)
        without_bias(changed)
        return right(self, changed.SerializeToString(), **more)

    patch.setattr(sklearn2rknn.Toolkit, "start", start)


def times_do_not_scatter(patch: Patch, link: BoardLink) -> None:
    """Leave out what other programs on this machine do to the times of a call."""

    def judged(now: Latency, before: Latency) -> str | None:
        return latency_baseline(attrs.evolve(now, mad=0.0), before)

    patch.setattr("rknn_harness.conformance.run_case.latency_baseline", judged)


def a_layer_on_the_cpu(patch: Patch, link: BoardLink) -> None:
    right = scirknn.read_bundle

    def read(path: Any) -> scirknn.Bundle:
        bundle = right(path)
        (name, kind, _), *others = bundle.details["placement"]["layers"]
        placement = {**bundle.details["placement"], "layers": [(name, kind, "CPU"), *others]}
        return dataclasses.replace(bundle, details={**bundle.details, "placement": placement})

    patch.setattr(scirknn, "read_bundle", read)


def executor_rounds(patch: Patch, link: BoardLink) -> None:
    """The virtual NPU here, as it is held to the simulator: a unit in the last place."""
    right = virtual_npu.VirtualNpu.run

    def run(self: Any, x: Any) -> Any:
        return np.nextafter(right(self, x), np.float32(np.inf))

    patch.setattr(virtual_npu.VirtualNpu, "run", run)


def runtime_misreads(order: Callable[[Any], bool]) -> Callable[[Patch, BoardLink], None]:
    """Scirknn here takes some inputs for others."""

    def plant(patch: Patch, link: BoardLink) -> None:
        right = scirknn.MLPClassifier.raw_output

        def raw_output(self: Any, X: Any) -> Any:
            return right(self, np.asarray(X)[::-1] if order(X) else X)

        patch.setattr(scirknn.MLPClassifier, "raw_output", raw_output)

    return plant


def other_weights(path: Path) -> None:
    """Another model's file under this one's name, its digest set right."""
    content = bytearray(path.read_bytes())
    found = scirknn.read_bundle(path)
    file = virtual_npu.read(path)
    (tensor,) = (tensor for tensor in file.tensors if tensor.name == "weights_1")
    stored = bytes(file.buffers[tensor.buffer])
    place = bytes(content).find(stored)
    values = np.frombuffer(stored[: len(stored) // 2 * 2], np.float16)
    content[place : place + len(values) * 2] = (values * np.float16(1.5)).tobytes()
    path.write_bytes(content)
    sidecar = path.with_name(path.name + ".json")
    document = json.loads(sidecar.read_text())
    document["variants"][0]["sha256"] = hashlib.sha256(content).hexdigest()
    sidecar.write_text(json.dumps(with_digest(document)))
    assert found.variants[0].sha256 != document["variants"][0]["sha256"]


def reversed_classes(path: Path) -> None:
    sidecar = path.with_name(path.name + ".json")
    document = json.loads(sidecar.read_text())
    document["classes"]["values"].reverse()
    sidecar.write_text(json.dumps(with_digest(document)))


class Fault(NamedTuple):
    """Where it is planted, what it is, and what must say so at which stage."""

    property: str
    stage: str
    plant: Callable[[Patch, BoardLink], None] | None = None
    tamper: Callable[[Path], None] | None = None
    more: dict[str, Any] = {}  # noqa: RUF012 - never changed


FAULTS = {
    "converter: a bias is lost": Fault("onnx_equals_sklearn", "onnx", graph_is(without_bias)),
    "converter: outputs are swapped": Fault("onnx_equals_sklearn", "onnx", graph_is(swapped_outputs)),
    "toolkit: a bias is lost": Fault("bound", "simulator", every_build_loses_a_bias),
    "toolkit: two builds differ": Fault("digest_reproducible", "simulator", second_build_differs),
    "toolkit: a layer on the CPU": Fault("all_on_npu", "virtual_npu", a_layer_on_the_cpu),
    "file: other weights": Fault("bound", "virtual_npu", tamper=other_weights),
    "file: classes in another order": Fault("labels", "board", tamper=reversed_classes),
    "executor: a unit in the last place": Fault(
        "simulator_equals_virtual_npu", "virtual_npu", executor_rounds
    ),
    "runner: rows come late": Fault("bound", "board", session_is(LateRows)),
    "runner: no numbers": Fault("bound", "board", session_is(NoNumbers)),
    "runner: labels are swapped": Fault("labels", "board", session_is(SwappedLabels)),
    "runner: a percent too much": Fault("board_equals_virtual_npu", "board", session_is(CoarseBoard)),
    "runner: the second answer differs": Fault("deterministic", "board", session_is(SecondAnswer)),
    "runner: the first row differs": Fault("rows_independent", "board", session_is(FirstRow)),
    "runner: one row alone differs": Fault("rows_independent", "board", session_is(AloneIsOther)),
    "runtime: float32 differs": Fault("input_forms", "board", session_is(Float32IsOther)),
    "runtime: integers differ": Fault("input_forms", "board", session_is(IntegersAreOther)),
    "runtime: Fortran order is misread": Fault(
        "input_forms",
        "board",
        runtime_misreads(lambda X: getattr(X, "flags", None) is not None and X.flags.fnc),
    ),
    "runtime: lists are misread": Fault(
        "input_forms", "board", runtime_misreads(lambda X: isinstance(X, list))
    ),
    "runtime: core 2 differs": Fault("cores_agree", "board", session_is(CoreTwoIsOther)),
    "runtime: the pool mixes rows": Fault("cores_agree", "board", session_is(PoolMixesRows)),
    "runtime: a batch is slow": Fault("batch_latency", "board", session_is(SlowBatch)),
    "runtime: slower than it was": Fault(
        "latency_baseline",
        "board",
        times_do_not_scatter,
        more={"baseline": summarize(np.full(100, 1e-9), rows=64, warmup=0)},
    ),
}


def test_what_is_right_holds_every_property(toolkit: sklearn2rknn.Toolkit, link: BoardLink) -> None:
    found = summarize(np.full(100, 10.0), rows=64, warmup=0)
    result = run_case(CASE, toolkit, link, timing=BRIEF, baseline=found)
    assert result.outcome is Outcome.PASS
    assert dict(result.properties) == dict.fromkeys(set(PROPERTIES) - {"methods"}, "")


@pytest.mark.parametrize("is_wrong", [False, True])
def test_every_method_of_a_family_is_judged(
    toolkit: sklearn2rknn.Toolkit, link: BoardLink, monkeypatch: Patch, is_wrong: bool
) -> None:
    def doubled(reference: Reference, output: Array) -> Callable[[str], Array]:
        answered = answers_to(reference, output)
        return lambda name: answered(name) * (2 if name == "decision_function" else 1)

    if is_wrong:
        monkeypatch.setattr(judge, "answers_to", doubled)
    spec = FamilySpec("linear", "LogisticRegression", (), "wine", decades=5)
    result = run_case(family_case(spec, "float16", TOOLKIT, (64,)), toolkit, link, timing=BRIEF)
    assert result.is_failure == is_wrong
    text = "simulator: The answer of decision_function" if is_wrong else ""
    assert result.properties["methods"].startswith(text)


def test_a_model_that_the_host_computes_is_judged_on_the_board(
    toolkit: sklearn2rknn.Toolkit, link: BoardLink
) -> None:
    spec = FamilySpec("trees", "DecisionTreeClassifier", (("random_state", 0),), "breast_cancer", decades=5)
    result = run_case(family_case(spec, "float16", TOOLKIT, (64,)), toolkit, link, timing=BRIEF)
    assert result.outcome is Outcome.PASS
    assert result.metrics.keys() == {Stage.BOARD}
    assert result.properties["labels"] == result.properties["cores_agree"] == ""
    assert "nothing runs on an NPU" in result.notes[0]


@pytest.mark.parametrize("name", FAULTS)
def test_a_planted_fault_is_caught(
    toolkit: sklearn2rknn.Toolkit, link: BoardLink, monkeypatch: Patch, name: str
) -> None:
    fault = FAULTS[name]
    link.prove(toolkit)
    if fault.plant is not None:
        fault.plant(monkeypatch, link)
    result = run_case(CASE, toolkit, link, timing=BRIEF, tamper=fault.tamper, **fault.more)
    assert result.properties.get(fault.property, "").startswith(f"{fault.stage}: "), result
    assert result.is_failure


def test_an_int16_file_is_held_to_the_simulator(
    toolkit: sklearn2rknn.Toolkit, link: BoardLink, monkeypatch: Patch
) -> None:
    case = dataset_case("iris", "int16", TOOLKIT, (64,))
    assert run_case(case, toolkit, link, timing=BRIEF).properties["simulator_equals_virtual_npu"] == ""
    executor_rounds(monkeypatch, link)  # far less than the bound
    result = run_case(case, toolkit, link, timing=BRIEF)
    said = result.properties["simulator_equals_virtual_npu"]
    assert said.startswith("virtual_npu: The output differs from the vendor's simulator"), result
    assert result.properties["bound"] == ""
