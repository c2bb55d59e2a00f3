"""The way of one model: estimator, conversion, stages, board, verdict, time."""

from __future__ import annotations

import contextlib
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

import scirknn
import sklearn2rknn
from rknn_harness.board_link import BoardLink
from rknn_harness.case import Case, CaseResult, Score
from rknn_harness.corpus import CorpusError, read_model
from rknn_harness.datasets import REFUSED, fitted
from rknn_harness.errors import BoardError, InfraError, LeaseError, OwnModelError
from rknn_harness.held_out import split
from rknn_harness.judge import Limits, StageMetrics, Verdict, judge
from rknn_harness.latency import Latency, summarize
from rknn_harness.limits import Built, given_limits, limits_for
from rknn_harness.mlp_spec import MlpSpec, build_estimator, build_rows
from rknn_harness.outcomes import Outcome, Stage
from rknn_harness.own_judge import few_rows, score_of, uncounted, with_expected, without_reference
from rknn_harness.own_model import OwnModel, kept_model
from rknn_harness.pipeline_reference import reference_of
from rknn_harness.plain import CONSTANT_GRAPH, convert_plain, defect_of, judge_plain
from rknn_harness.properties import (
    Model,
    asked_again,
    batch_latency,
    cores_agree,
    digest_reproducible,
    input_forms,
    latency_baseline,
    output_step,
    rows_independent,
    simulator_equals_virtual_npu,
)
from rknn_harness.reference import Answer, Floats, Reference, answer_from_output
from rknn_harness.timing import QUICK, THOROUGH, Times, Timing, keep_samples, time_on_board, with_cpu
from rknn_harness.toolkit_failure import toolkit_failure
from rknn_harness.toolkit_graph import read_graph
from rknn_harness.witness import (
    Protocol,
    RecordingToolkit,
    model_files,
    onnx_output,
    simulator_output,
)
from sklearn2rknn.checking.built_file_check import is_beyond_bound
from sklearn2rknn.tolerances import FEWEST_ROWS
from virtual_npu import RknnFile, VirtualNpuError, content_digest, estimate, read

__all__ = ["ATTEMPTS", "ModelUnderTest", "model_of", "run_case"]

ATTEMPTS = 2
"""Times that a case is tried at most; only trouble on the way gives it another, a power cycle one more."""

_NOT_THE_BOARD = (None, Stage.SIMULATOR, Stage.VIRTUAL_NPU)
"""Stages of verdicts that a file which the converter keeps back accounts for; None is a pass."""

_OF_TIME = ("batch_latency", "latency_baseline")
"""Properties that say nothing of a model's numbers: the outcome is not theirs."""

Array = np.ndarray[Any, Any]


class _Ended(Exception):
    """The case ended before it could be judged."""

    def __init__(self, outcome: Outcome, stage: Stage | None, reason: object) -> None:
        super().__init__(str(reason))
        self.outcome, self.stage = outcome, stage


_MOVES = ("Reshape", "Transpose")
"""Layers that compute nothing; graphs without convolutions have them, and some toolkits' files on the CPU."""


@attrs.frozen
class _Converted:
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
    properties: _Found
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


def run_case(
    case: Case,
    toolkit: sklearn2rknn.Toolkit | None,
    link: BoardLink,
    *,
    timing: Timing | None = None,
    run_folder: Path | None = None,
    corpus: Path | None = None,
    models: Path | None = None,
    baseline: Latency | None = None,
    trust_pickle: bool = False,
    tamper: Callable[[Path], None] | None = None,
) -> CaseResult:
    """Try one case to its end; whatever goes wrong is its outcome, not an exception.

    Parameters
    ----------
    case : Case
    toolkit : Toolkit or None
        Of the case's version; None for a bundle that was converted before.
    link : BoardLink
    timing : Timing, optional
        By default `QUICK` on a virtual board and `THOROUGH` on another.
    run_folder : pathlib.Path, optional
        Where the raw timing samples are kept, below ``samples``.
    corpus : pathlib.Path, optional
        Where the files of a case of the corpus lie; without, it is built from its spec.
    models : pathlib.Path, optional
        Where a run keeps its user's own models.
    baseline : Latency, optional
        Of the last accepted run, which a call is held to.
    trust_pickle : bool
        Load a user's pickle whatever it names.
    tamper : callable, optional
        Called with the bundle's path once it is written: tests plant faults by it.

    Returns
    -------
    CaseResult
    """
    if ("guard", "off") in case.options:
        assert toolkit is not None
        return _run_plain(case, toolkit, link)
    clock = _Clock()
    notes: list[str] = []
    known: dict[str, Any] = {}
    attempts = 1
    if timing is None:
        timing = QUICK if link.board.virtual else THOROUGH
    try:
        if link.lost is not None:
            raise _Ended(Outcome.INFRA_ERROR, Stage.BOARD, f"The board was given up earlier: {link.lost}")
        with tempfile.TemporaryDirectory(prefix="rknn-harness-") as name, np.errstate(all="ignore"):
            own = None
            if case.kind == "own" and models is not None:
                own = _kept(models / str(case.source), trust_pickle)
            if toolkit is None:
                assert own is not None
                converted = _given(own, clock, notes, known)
            else:
                converted = _convert(case, toolkit, Path(name), clock, notes, known, corpus, own, tamper)
            while True:
                try:
                    with clock("connect"):
                        link.session()
                    with clock("health"):
                        if toolkit is not None:
                            link.prove(toolkit)
                    answer, again, times, more = _on_board(converted, link, timing, notes, clock)
                    break
                except InfraError as error:
                    link.drop()
                    hopeless = isinstance(error, LeaseError)  # it has been waited for
                    if hopeless or (attempts >= ATTEMPTS and not link.revive(error)):
                        link.give_up(error)
                        raise _Ended(Outcome.INFRA_ERROR, Stage.BOARD, error) from error
                    notes.append(f"Attempt {attempts} ended on the way to the board: {error}")
                    attempts += 1
            with clock("judge"):
                verdict = judge(
                    converted.reference,
                    {**converted.answers, Stage.BOARD: answer},
                    converted.limits,
                    rows=converted.rows,
                    again=again,
                    board_is_virtual=link.board.virtual,
                    step=converted.step,
                    placement=converted.charged,
                )
                if baseline is not None:
                    more["latency_baseline"] = Stage.BOARD, latency_baseline(times.latency, baseline)
                verdict = _with(verdict, {**converted.properties, **more})
                # A bound that wide is no praise either.
                if case.kind != "corpus" and converted.refused and verdict.stage in _NOT_THE_BOARD:
                    verdict = _refused(verdict, converted.refused[0])
                if own is not None:
                    verdict, known["score"] = _compared(own, verdict, converted, answer, notes)
    except Exception as error:
        # An error that nobody foresaw is the harness's own: it is recorded, and the run goes on.
        end = (
            error if isinstance(error, _Ended) else _Ended(Outcome.INFRA_ERROR, None, _harness_failed(error))
        )
        return CaseResult(
            case,
            _outcome(case, end.outcome),
            end.stage,
            str(end),
            notes=tuple(notes),
            attempts=attempts,
            seconds=clock.seconds,
            board=link.board.name,
            **known,
        )
    return CaseResult(
        case,
        _outcome(case, verdict.outcome),
        verdict.stage,
        verdict.reason,
        metrics=verdict.metrics,
        properties=verdict.properties,
        notes=tuple(notes),
        latency=times.latency,
        cpu=times.cpu,
        clocks=times.clocks,
        samples=keep_samples(run_folder, case, link.board.name, times.samples) if run_folder else "",
        attempts=attempts,
        seconds=clock.seconds,
        board=link.board.name,
        **known,
    )


def _run_plain(case: Case, toolkit: sklearn2rknn.Toolkit, link: BoardLink) -> CaseResult:
    """Try a case whose guard is off; there are no bundle, no second attempt and no time."""
    clock, known, defect = _Clock(), dict[str, Any](), ""
    metrics: Mapping[Stage, StageMetrics] = {}
    properties: Mapping[str, str] = {}
    assert isinstance(case.source, MlpSpec)
    try:
        with np.errstate(all="ignore"):
            with clock("convert"), _conversion_errors():
                plain = convert_plain(case.source, case.batch_size[0], toolkit)
            known["macs"] = sum(layer.weights.size for layer in plain.layers)
            known["weights"] = known["macs"] + sum(layer.bias.size for layer in plain.layers)
            known["digests"] = {"model.rknn": content_digest(read(plain.file))}
            with clock("predict"):
                session = link.session()
                answer, again = (plain.on_board(session) for _ in range(2))
            with clock("judge"):
                verdict = judge_plain(plain, answer, again.output, board_is_virtual=link.board.virtual)
                defect = defect_of(plain, verdict)
        outcome, stage, reason = verdict.outcome, verdict.stage, verdict.reason
        metrics, properties = verdict.metrics, verdict.properties
    except _Ended as error:
        outcome, stage, reason = error.outcome, error.stage, str(error)
        defect = "zero-layer" if CONSTANT_GRAPH in reason else ""
    except BoardError as error:
        outcome, stage, reason = Outcome.RUN_ERROR, Stage.BOARD, f"{error.type}: {error}"
    except InfraError as error:
        link.drop()
        outcome, stage, reason = Outcome.INFRA_ERROR, Stage.BOARD, str(error)
    except Exception as error:
        outcome, stage, reason = Outcome.INFRA_ERROR, None, _harness_failed(error)
    return CaseResult(
        case,
        outcome,
        stage,
        reason,
        metrics=metrics,
        properties=properties,
        seconds=clock.seconds,
        board=link.board.name,
        defect=defect,
        **known,
    )


def _convert(
    case: Case,
    toolkit: sklearn2rknn.Toolkit,
    folder: Path,
    clock: _Clock,
    notes: list[str],
    known: dict[str, Any],
    corpus: Path | None,
    own: OwnModel | None,
    tamper: Callable[[Path], None] | None,
) -> _Converted:
    with clock("fit"):
        try:
            tried = model_of(case, corpus, own)
        except CorpusError as error:
            raise _Ended(Outcome.MISMATCH, Stage.SKLEARN, error) from error
        truth = reference_of(tried.estimator, tried.X)
    known["macs"] = sum(layer.weights.size for layer in truth.layers)
    known["weights"] = known["macs"] + sum(layer.bias.size for layer in truth.layers)
    path = folder / "model.rknn"
    recorder = RecordingToolkit(toolkit)
    options: dict[str, Any] = dict(case.options)
    with clock("convert"), _conversion_errors(), warnings.catch_warnings(record=True) as caught:
        # The file is wanted whatever the converter thinks of it: how far it departs is judged here.
        warnings.simplefilter("always", sklearn2rknn.CheckWarning)
        sklearn2rknn.convert(
            tried.estimator,
            path,
            precision=case.precision,
            batch_size=case.batch_size,
            example_input=tried.example,
            check_input=tried.check,
            toolkit=recorder,
            allow_cpu=True,
            check="warn",
            **options,
        )
        bundle = scirknn.read_bundle(path)
        files = model_files(bundle)
        known["estimate"] = estimate(files[-1]).seconds
    refused = [str(each.message) for each in caught if each.category is sklearn2rknn.CheckWarning]
    if case.kind == "dataset" and is_beyond_bound(bundle.details["check"]):
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
    return _Converted(
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


def _kept(place: Path, trust_pickle: bool) -> OwnModel:
    try:
        return kept_model(place, trust_pickle=trust_pickle)
    except OwnModelError as error:
        raise _Ended(Outcome.INFRA_ERROR, Stage.SKLEARN, error) from error


def _given(own: OwnModel, clock: _Clock, notes: list[str], known: dict[str, Any]) -> _Converted:
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
                raise _Ended(Outcome.RUN_ERROR, Stage.VIRTUAL_NPU, notes[-1])
            notes.append("Not compared with scikit-learn: the run was given no estimator.")
            proba = getattr(model, "probabilities", None)
            answer = Answer(output, model.decide(output), None if proba is None else proba(output))
            inputs = own.X if bundle.columns is None else bundle.columns.take(own.X, bundle.estimator)
            truth = Reference(answer, bundle.task, bundle.head, bundle.classes, (), own.X, inputs)
            answers = {Stage.VIRTUAL_NPU: answer}
    return _Converted(
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


def _compared(
    own: OwnModel, verdict: Verdict, converted: _Converted, board: Answer, notes: list[str]
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
def _conversion_errors() -> Iterator[None]:
    try:
        yield
    except (
        sklearn2rknn.UnsupportedModelError,
        sklearn2rknn.RangeError,
        sklearn2rknn.ExampleInputError,
        sklearn2rknn.OptionError,
    ) as error:
        raise _Ended(Outcome.UNSUPPORTED, Stage.ONNX, error) from error
    except sklearn2rknn.CheckError as error:
        raise _Ended(Outcome.MISMATCH, Stage.SIMULATOR, error) from error
    except sklearn2rknn.ConversionError as error:
        late = "it took longer than" in error.reason
        outcome = Outcome.TIMEOUT if late else Outcome.CONVERT_ERROR
        raise _Ended(outcome, Stage.SIMULATOR, toolkit_failure(error)) from error
    except VirtualNpuError as error:
        # The toolkit said all is well and wrote what cannot be read.
        raise _Ended(Outcome.CONVERT_ERROR, Stage.VIRTUAL_NPU, error) from error
    except (sklearn2rknn.ToolkitError, OSError) as error:
        raise _Ended(Outcome.INFRA_ERROR, Stage.SIMULATOR, error) from error


def _harness_failed(error: Exception) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"The harness itself failed: {type(error).__name__}: {error}{place}"


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
        raise _Ended(Outcome.MISMATCH, Stage.VIRTUAL_NPU, error) from error
    except scirknn.BundleError as error:
        raise _Ended(Outcome.LOAD_ERROR, Stage.VIRTUAL_NPU, error) from error
    except (scirknn.NativeError, VirtualNpuError) as error:
        notes.append(f"The virtual NPU could not speak: {error}")
        return None, None


_Found = dict[str, tuple[Stage, "str | None"]]


def _built_again(
    path: Path,
    bundle: scirknn.Bundle,
    toolkit: sklearn2rknn.Toolkit,
    protocol: Protocol,
    answers: Mapping[Stage, Answer],
    rows: Mapping[Stage, Array],
    limits: Mapping[Stage, Limits],
) -> _Found:
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
    found: _Found = {
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


def _on_board(
    converted: _Converted, link: BoardLink, timing: Timing, notes: list[str], clock: _Clock
) -> tuple[Answer, Array, Times, _Found]:
    reference, bundle = converted.reference, converted.bundle
    X = reference.X
    session = link.session()
    more: _Found = {}
    try:
        with clock("load"):
            session.load(converted.path)
        with clock("predict"):
            said = session.predict(X)
            answer = Answer(said.output, said.predictions, said.probabilities)
        with clock("time"):
            batch = X[: bundle.variants[-1].samples]
            times = time_on_board(session, batch, timing)
            if len(batch) > 1 and not link.board.virtual:
                bounds = attrs.asdict(timing, filter=lambda field, value: field.name != "cpu")
                single = summarize(session.time(X[:1], **bounds).samples, rows=1, warmup=timing.warmup)
                more["batch_latency"] = Stage.BOARD, batch_latency(times.latency, single)
        with clock("properties"):
            again = asked_again(session, X, forms=reference.takes_numbers)
            if len(bundle.variants) == 1 and len(X) > 1:
                # Files of several sizes are calibrated apart, and a row's place decides which one it takes.
                more["rows_independent"] = Stage.BOARD, rows_independent(answer.output, again)
            if reference.takes_numbers:  # what a pipeline looks up need not be there in another dtype
                more["input_forms"] = Stage.BOARD, input_forms(again, converted.model, X)
            more["cores_agree"] = Stage.BOARD, cores_agree(session, X, answer.output)
        with clock("time"):
            if reference.layers:
                inputs = reference.inputs[: bundle.variants[-1].samples]
                times = with_cpu(times, session, inputs, reference, timing, notes)
    except BoardError as error:
        outcome = {"load_error": Outcome.LOAD_ERROR, "timeout": Outcome.TIMEOUT}.get(
            error.kind, Outcome.RUN_ERROR
        )
        with clock("health"):
            found = link.examine()
        if found:
            notes.append(found)
        raise _Ended(outcome, Stage.BOARD, f"{error.type}: {error}") from error
    except scirknn.BundleError as error:
        raise _Ended(Outcome.LOAD_ERROR, Stage.BOARD, error) from error
    return answer, again["again"], times, more


def _outcome(case: Case, outcome: Outcome) -> Outcome:
    """Return the outcome of a case; a fixed model that is refused has failed, but for those known to be.

    A toolkit or a converter that got worse would otherwise be excused.
    """
    is_known = case.kind != "dataset" or (case.source, case.precision) in REFUSED
    return outcome if is_known or outcome is not Outcome.UNSUPPORTED else Outcome.MISMATCH


def _refused(verdict: Verdict, reason: str) -> Verdict:
    """Turn the verdict on a file that the converter hands nobody into what it is."""
    return attrs.evolve(
        verdict,
        outcome=Outcome.UNSUPPORTED,
        stage=verdict.stage or Stage.VIRTUAL_NPU,
        reason=f"The converter hands over no such file unless told to: {reason}",
        properties={name: wrong for name, wrong in verdict.properties.items() if not wrong},
    )


def _with(verdict: Verdict, more: Mapping[str, tuple[Stage, str | None]]) -> Verdict:
    """Add properties to a verdict; one that failed is a pass no longer, but for those of time."""
    told = {name: "" if wrong is None else f"{stage.value}: {wrong}" for name, (stage, wrong) in more.items()}
    verdict = attrs.evolve(verdict, properties={**verdict.properties, **told})
    for name, (stage, wrong) in more.items():
        if wrong is not None and verdict.outcome is Outcome.PASS and name not in _OF_TIME:
            outcome = Outcome.NONDETERMINISTIC if name == "digest_reproducible" else Outcome.MISMATCH
            verdict = attrs.evolve(verdict, outcome=outcome, stage=stage, reason=wrong)
    return verdict


class _Clock:
    """Adds up wall time by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.monotonic() - started
