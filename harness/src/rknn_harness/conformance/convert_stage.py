"""The stages before the board: model, conversion, simulator, virtual NPU."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

import scirknn
import sklearn2rknn
from rknn_harness.conformance.outcome import CaseAborted, PhaseClock
from rknn_harness.conformance.properties import (
    Model,
    digest_reproducible,
    output_step,
    simulator_equals_virtual_npu,
)
from rknn_harness.conformance.stage_outputs import (
    Protocol,
    RecordingToolkit,
    model_files,
    onnx_output,
    simulator_output,
)
from rknn_harness.conformance.toolkit_failure import toolkit_failure
from rknn_harness.errors import OwnModelError
from rknn_harness.models.datasets import fitted
from rknn_harness.models.held_out import split
from rknn_harness.models.own_model import OwnModel, kept_model
from rknn_harness.models.random_mlp import build_estimator, build_rows
from rknn_harness.plan.corpus import CorpusError, read_model
from rknn_harness.records.case import Case, Score
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.verdicts.judge import Limits, Verdict
from rknn_harness.verdicts.onnx_layers import read_graph
from rknn_harness.verdicts.own_judge import few_rows, score_of, uncounted, with_expected, without_reference
from rknn_harness.verdicts.pipeline_reference import reference_of
from rknn_harness.verdicts.reference import Answer, Floats, Reference, answer_from_output
from rknn_harness.verdicts.tolerances import Built, given_limits, limits_for
from sklearn2rknn.checking.check_result import CheckResult
from sklearn2rknn.tolerances import FEWEST_ROWS
from virtual_npu import RknnFile, VirtualNpuError, estimate, read

Array = np.ndarray[Any, Any]

__all__ = ["ModelUnderTest", "model_of"]


_MOVES = ("Reshape", "Transpose")
"""Layers that compute nothing; graphs without convolutions have them, and some toolkits' files on the CPU."""


@attrs.frozen
class Converted:
    """A bundle in a folder of its own, and what the stages before the board said.

    `model` is the bundle on the virtual NPU here, None where that cannot speak. It and `files` are kept until
    the case ends, for what is held is not read again.
    """

    path: Path
    bundle: scirknn.Bundle
    files: list[RknnFile]
    model: Model | None
    reference: Reference
    limits: Mapping[Stage, Limits]
    answers: Mapping[Stage, Answer]
    rows: Mapping[Stage, Array]
    placement: tuple[tuple[str, str, str], ...]
    step: Floats
    properties: PropertyFindings
    conv: bool
    refused: list[str]
    judged: Array

    @property
    def charged(self) -> tuple[tuple[str, str, str], ...]:
        """The layers that must be on the NPU."""
        return tuple(layer for layer in self.placement if self.conv or layer[1] not in _MOVES)


@attrs.frozen(eq=False)
class ModelUnderTest:
    """A case's model and the rows that it is tried with.

    Attributes
    ----------
    estimator : MLPClassifier or MLPRegressor
        Fitted.
    X : numpy.ndarray of float64, shape (n, n_features)
        All rows of the case. Each is held to the derived bound.
    example : numpy.ndarray
        The converter's example input.
    check : numpy.ndarray or None
        The rows that the converter checks its file on, where it is not to hold out some of the example.
    judged : numpy.ndarray of int
        Rows of X that the converter does not see. Shares of labels and R2 are counted on these.
    """

    estimator: Any
    X: Array
    example: Array
    check: Array | None
    judged: Array


def model_of(case: Case, corpus: Path | None = None, own: OwnModel | None = None) -> ModelUnderTest:
    """Return a case's model: the converter is given half of the rows of a data set, or of a user's.

    A random network is built from other rows of the same distribution, and the converter's check has half of
    the case's with others, so that there are enough.
    """
    if isinstance(case.source, str):
        model = own or fitted(case.source)
        example, judged = split(model.X)
        return ModelUnderTest(model.estimator, model.X, example, None, judged)
    if case.kind == "corpus" and corpus is not None:
        estimator, X = read_model(corpus / case.id)
    else:
        estimator, X = build_estimator(case.source), build_rows(case.source)
    shown, judged = split(X)
    others = build_rows(attrs.evolve(case.source, rows=64 + FEWEST_ROWS, seed=case.source.seed ^ 1))
    check = np.concatenate([shown, others[64:]])
    return ModelUnderTest(estimator, X, others[:64], check, judged)


def convert_case(
    case: Case,
    toolkit: sklearn2rknn.Toolkit,
    folder: Path,
    clock: PhaseClock,
    notes: list[str],
    known: dict[str, Any],
    corpus: Path | None,
    own: OwnModel | None,
    tamper: Callable[[Path], None] | None,
) -> Converted:
    """Convert a case's model and run the stages before the board."""
    with clock("fit"):
        try:
            tried = model_of(case, corpus, own)
        except CorpusError as error:
            raise CaseAborted(Outcome.MISMATCH, Stage.SKLEARN, error) from error
        truth = reference_of(tried.estimator, tried.X)
    known["macs"] = sum(layer.weights.size for layer in truth.layers)
    known["weights"] = known["macs"] + sum(layer.bias.size for layer in truth.layers)
    path = folder / "model.rknn"
    recorder = RecordingToolkit(toolkit)
    options: dict[str, Any] = dict(case.options)
    with clock("convert"), conversion_errors_as_outcomes(), warnings.catch_warnings(record=True) as caught:
        # The file is wanted whatever the converter thinks of it: how far it departs is judged here.
        warnings.simplefilter("always", sklearn2rknn.CheckWarning)
        sklearn2rknn.convert(
            tried.estimator,
            path,
            precision=case.precision,
            batch_size=case.batch_size,
            example_input=tried.example,
            toolkit=recorder,
            options=sklearn2rknn.ConversionOptions(
                check_input=tried.check, allow_cpu=True, check="warn", **options
            ),
        )
        bundle = scirknn.read_bundle(path)
        files = model_files(bundle)
        known["estimate"] = estimate(files[-1]).seconds
    refused = [str(each.message) for each in caught if each.category is sklearn2rknn.CheckWarning]
    if case.kind == "dataset" and CheckResult.from_json(bundle.details["check"]).is_beyond_bound:
        refused = []  # no rounding explains such a file: the fault is the toolkit's
    known["digests"] = recorder.digests() | {each.file: each.content_digest for each in bundle.variants}
    placement = tuple((name, kind, where) for name, kind, where in bundle.details["placement"]["layers"])
    known["placement"] = placement
    with clock("limits"):
        graph = read_graph(recorder.protocol.models[-1], bundle)
        built = Built(bundle, graph, files)
        limits = limits_for(truth, built, tried.judged, is_promised=case.kind in ("dataset", "own"))
    if tamper is not None:
        tamper(path)
    with clock("stages"):
        model, answers, rows = _before_the_board(path, bundle, truth, recorder.protocol, notes)
    with clock("again"):
        properties = _built_again(path, bundle, toolkit, recorder.protocol, answers, rows, limits)
    step = output_step(bundle, truth.answer.output, files)
    return Converted(
        path,
        bundle,
        files,
        model,
        truth,
        limits,
        answers,
        rows,
        placement,
        step,
        properties,
        "form" not in options,
        refused,
        tried.judged,
    )


def read_kept_model(place: Path, trust_pickle: bool) -> OwnModel:
    """Read the user's own model that a run keeps."""
    try:
        return kept_model(place, trust_pickle=trust_pickle)
    except OwnModelError as error:
        raise CaseAborted(Outcome.INFRA_ERROR, Stage.SKLEARN, error) from error


def open_own_bundle(own: OwnModel, clock: PhaseClock, notes: list[str], known: dict[str, Any]) -> Converted:
    """Return what stands for a conversion where a user gives a bundle."""
    bundle = own.bundle
    assert bundle is not None
    with clock("stages"):
        files = model_files(bundle)
        known["estimate"] = estimate(files[-1]).seconds
        known["digests"] = {each.file: each.content_digest for each in bundle.variants}
        known["placement"] = tuple(tuple(layer) for layer in bundle.details["placement"]["layers"])
        model, output = _on_virtual_npu(bundle.path, own.X, notes)
        if own.estimator is not None:
            truth = reference_of(own.estimator, own.X)
            known["macs"] = sum(layer.weights.size for layer in truth.layers)
            known["weights"] = known["macs"] + sum(layer.bias.size for layer in truth.layers)
            answers = {}
            if output is not None:
                answers[Stage.VIRTUAL_NPU] = answer_from_output(truth, output)
        else:
            if model is None or output is None:
                raise CaseAborted(Outcome.RUN_ERROR, Stage.VIRTUAL_NPU, notes[-1])
            notes.append("Not compared with scikit-learn: the run was given no estimator.")
            proba = getattr(model, "probabilities", None)
            answer = Answer(output, model.decide(output), None if proba is None else proba(output))
            inputs = own.X if bundle.columns is None else bundle.columns.take(own.X, bundle.estimator)
            truth = Reference(answer, bundle.task, bundle.head, bundle.classes, (), own.X, inputs)
            answers = {Stage.VIRTUAL_NPU: answer}
    return Converted(
        path=bundle.path,
        bundle=bundle,
        files=files,
        model=model,
        reference=truth,
        limits=given_limits(truth, bundle) if truth.layers else dict.fromkeys(Stage, Limits("nothing")),
        answers=answers,
        rows={},
        placement=known["placement"],
        step=output_step(bundle, truth.answer.output, files),
        properties={},
        conv=bundle.form == "conv",
        refused=[],
        judged=np.arange(len(own.X)),
    )


def compare_own_model(
    own: OwnModel, verdict: Verdict, converted: Converted, board: Answer, notes: list[str]
) -> tuple[Verdict, Score | None]:
    """Compare a user's model with what else is known of its rows."""
    bundle, truth = converted.bundle, converted.reference
    answers = {**converted.answers, Stage.BOARD: board}
    if own.estimator is None:
        verdict = without_reference(verdict)
    if own.expected is not None:
        verdict = with_expected(verdict, own.expected, bundle, answers)
    note = few_rows(len(converted.judged))
    if note:
        notes.append(note)
        verdict = uncounted(verdict)
    predictions = None if own.estimator is None else truth.answer.predictions
    return verdict, score_of(bundle.task, own.y, board.predictions, predictions, converted.judged)


@contextlib.contextmanager
def conversion_errors_as_outcomes() -> Iterator[None]:
    """Turn the converter's errors into outcomes."""
    try:
        yield
    except (
        sklearn2rknn.UnsupportedModelError,
        sklearn2rknn.RangeError,
        sklearn2rknn.ExampleInputError,
        sklearn2rknn.OptionError,
    ) as error:
        raise CaseAborted(Outcome.UNSUPPORTED, Stage.ONNX, error) from error
    except sklearn2rknn.CheckError as error:
        raise CaseAborted(Outcome.MISMATCH, Stage.SIMULATOR, error) from error
    except sklearn2rknn.ConversionError as error:
        late = "it took longer than" in error.reason
        outcome = Outcome.TIMEOUT if late else Outcome.CONVERT_ERROR
        raise CaseAborted(outcome, Stage.SIMULATOR, toolkit_failure(error)) from error
    except VirtualNpuError as error:
        # The toolkit said all is well and wrote what cannot be read.
        raise CaseAborted(Outcome.CONVERT_ERROR, Stage.VIRTUAL_NPU, error) from error
    except (sklearn2rknn.ToolkitError, OSError) as error:
        raise CaseAborted(Outcome.INFRA_ERROR, Stage.SIMULATOR, error) from error


def _before_the_board(
    path: Path, bundle: scirknn.Bundle, truth: Reference, protocol: Protocol, notes: list[str]
) -> tuple[Model | None, dict[Stage, Answer], dict[Stage, Array]]:
    answers: dict[Stage, Answer] = {}
    rows: dict[Stage, Array] = {}
    answers[Stage.ONNX] = answer_from_output(truth, onnx_output(protocol.models[-1], bundle, truth.inputs))
    chosen, output = simulator_output(protocol, bundle, truth.inputs)
    rows[Stage.SIMULATOR] = chosen
    answers[Stage.SIMULATOR] = answer_from_output(truth.take(chosen), output)
    model, executed = _on_virtual_npu(path, truth.X, notes)
    if executed is not None:
        answers[Stage.VIRTUAL_NPU] = answer_from_output(truth, executed)
    return model, answers, rows


def _on_virtual_npu(path: Path, X: Array, notes: list[str]) -> tuple[Model | None, Array | None]:
    """Return a bundle's model on the virtual NPU here, and its output; None for what it cannot do."""
    try:
        model = scirknn.load(path, device="virtual")
        return model, np.asarray(model.raw_output(X), np.float32)
    except scirknn.OutputRangeError as error:
        raise CaseAborted(Outcome.MISMATCH, Stage.VIRTUAL_NPU, error) from error
    except scirknn.BundleError as error:
        raise CaseAborted(Outcome.LOAD_ERROR, Stage.VIRTUAL_NPU, error) from error
    except (scirknn.NativeError, VirtualNpuError) as error:
        notes.append(f"The virtual NPU could not speak: {error}")
        return None, None


PropertyFindings = dict[str, tuple[Stage, "str | None"]]


def _built_again(
    path: Path,
    bundle: scirknn.Bundle,
    toolkit: sklearn2rknn.Toolkit,
    protocol: Protocol,
    answers: Mapping[Stage, Answer],
    rows: Mapping[Stage, Array],
    limits: Mapping[Stage, Limits],
) -> PropertyFindings:
    """Build the simulated file once more, and have it simulated on numbers that an NPU can be fed."""
    model, config, calibration = protocol.built
    assert protocol.inputs is not None
    assert protocol.simulated is not None
    tables = protocol.operators() & {"Tanh", "Sigmoid", "Softmax"}
    fed, parameters = protocol.inputs[:2], dict[str, Array]()
    if bundle.precision == "float16" and not tables:
        fed = fed.astype(np.float16).astype(np.float32)
        built = toolkit.build(model, config=config, calibration=calibration, simulate=fed)
        told = built.simulated
    else:
        built = toolkit.build(model, config=config, calibration=calibration)
        told = protocol.simulated[:2] if bundle.precision == "int16" and not tables else None
        parameters = protocol.parameters()
    variant, file = next(pair for pair in bundle.files() if pair[0].samples == protocol.samples)
    found: PropertyFindings = {
        "digest_reproducible": (Stage.SIMULATOR, digest_reproducible(variant.content_digest, built.rknn))
    }
    bounds, chosen = limits[Stage.SIMULATOR].output, rows[Stage.SIMULATOR]
    if bounds is not None and Stage.VIRTUAL_NPU in answers:
        # Between the parts of a layer that the toolkit cut is a rounding that the simulator does not know.
        cut = {node.type for node in read(file).nodes} & {"Mul", "Split"}
        wrong = simulator_equals_virtual_npu(
            file,
            None if told is None or cut else (fed, told),
            parameters,
            bounds[chosen],
            answers[Stage.SIMULATOR].output,
            answers[Stage.VIRTUAL_NPU].output[chosen],
        )
        found["simulator_equals_virtual_npu"] = Stage.VIRTUAL_NPU, wrong
    return found
