"""The stages before the board: model, conversion, simulator, virtual NPU."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

import scirknn
import sklearn2rknn
from rknn_harness.conformance.model_under_test import ModelUnderTest
from rknn_harness.conformance.properties import (
    digest_reproducible,
    output_step,
    simulator_equals_virtual_npu,
    within_twice_the_bound,
)
from rknn_harness.conformance.stage_outputs import (
    COMPARED_RUNS,
    ConversionRecord,
    RecordingToolkit,
    model_files,
    onnx_output,
    simulator_output,
)
from rknn_harness.conformance.toolkit_failure import toolkit_failure
from rknn_harness.conformance.trial import CaseFacts, Ending, HostTrial
from rknn_harness.records.case import Case
from rknn_harness.records.outcomes import Cause, Outcome, Stage
from rknn_harness.records.phases import Phase
from rknn_harness.verdicts.judge import Finding
from rknn_harness.verdicts.lane_events import LaneComparison
from rknn_harness.verdicts.limits import Limits, limits_for
from rknn_harness.verdicts.reference import Answer, Reference, answer_from_output, in_form_of
from scirknn.arrays import Array, Floats
from scirknn.bundle import Variant
from scirknn.estimators.methods import Methods
from sklearn2rknn.checking.check_result import CheckResult
from sklearn2rknn.passes.toolkit_graph import read_graph
from virtual_npu import RknnFile, UnsupportedProgram, VirtualNpuError, estimate, read, rules_followed
from virtual_npu.evidence import count_by_kind

_REFUSALS: dict[type[Exception], Cause] = {
    sklearn2rknn.UnsupportedModelError: Cause.MODEL,
    sklearn2rknn.RangeError: Cause.RANGE,
    sklearn2rknn.ExampleInputError: Cause.ROWS,
    sklearn2rknn.OptionError: Cause.OPTION,
}

CONVERSION_ERRORS: tuple[type[Exception], ...] = (
    *_REFUSALS,
    sklearn2rknn.CheckError,
    sklearn2rknn.ConversionError,
    sklearn2rknn.ToolkitError,
    VirtualNpuError,
    OSError,
)
"""Errors of a conversion that `conversion_ending` takes."""

BUNDLE = "model.rknn"
"""Name of a case's bundle."""

_MOVES = ("Reshape", "Transpose")
"""Layers that compute nothing; graphs without convolutions have them, and some toolkits' files on the CPU."""


_ON_HOST_NOTE = (
    "The board's CPU computes it: nothing runs on an NPU, and the output is what goes into the host's steps."
)

_EQUAL = Limits("equal, float64", probability=1e-12, margin=0.0, agreement=1.0, r2=1 - 1e-12)
"""Of two libraries' exponentials and sums; `sklearn2rknn.host_only` allows the same."""


@attrs.frozen(eq=False)
class Converted:
    """A bundle in a folder of its own, and the answers of the stages before the board.

    Attributes
    ----------
    bundle : Bundle
    files : list of RknnFile
        Its model files, read once.
    model : Methods or None
        The bundle on the virtual NPU here, None where that cannot compute it.
    reference : Reference
    limits : mapping of Stage to Limits
    answers : mapping of Stage to Answer
    step : numpy.ndarray, shape (n_outputs,)
        One step of the output's format.
    judged : numpy.ndarray of int
        Rows that the file was not built from.
    facts : CaseFacts
    is_conv : bool
        Whether the layers are convolutions.
    findings : tuple of Finding
    refusal : str
        Why the converter would not hand over the file by itself; empty where it would.
    """

    bundle: scirknn.Bundle
    files: list[RknnFile]
    model: Methods | None
    reference: Reference
    limits: Mapping[Stage, Limits]
    answers: Mapping[Stage, Answer]
    step: Floats
    judged: Array
    facts: CaseFacts
    is_conv: bool
    findings: tuple[Finding, ...] = ()
    refusal: str = ""

    @property
    def batch_size(self) -> int:
        """Rows of a call that is timed: those of the largest file, or 64 where the host computes all."""
        return self.bundle.variants[-1].samples if self.bundle.variants else 64

    @property
    def lanes(self) -> LaneComparison:
        """Compares a real board's answers."""
        return LaneComparison(self.bundle, self.files)

    @property
    def layers_required_on_npu(self) -> tuple[tuple[str, str, str], ...]:
        """The layers that must be on the NPU."""
        return tuple(layer for layer in self.facts.placement if self.is_conv or layer[1] not in _MOVES)


def convert_case(
    trial: HostTrial, folder: Path, tried: ModelUnderTest, truth: Reference
) -> Converted | Ending:
    """Convert a case's model and run the stages before the board.

    Parameters
    ----------
    trial : HostTrial
    folder : pathlib.Path
        Where the bundle is written.
    tried : ModelUnderTest
        The case's model.
    truth : Reference
        Its answers.
    """
    case, clock = trial.case, trial.clock
    assert trial.toolkit is not None
    facts = CaseFacts.of_network(truth)
    try:
        with clock(Phase.CONVERT):
            conversion = _convert(case, tried, trial.toolkit, folder / BUNDLE)
            facts = facts_of_bundle(facts, conversion.bundle, conversion.files)
    except CONVERSION_ERRORS as error:
        return conversion_ending(error, facts)
    facts = attrs.evolve(facts, digests={**conversion.record.digests(), **facts.digests})
    return _run_before_board(trial, tried, in_form_of(truth, conversion.bundle), conversion, facts)


def convert_on_host(
    trial: HostTrial, folder: Path, tried: ModelUnderTest, truth: Reference
) -> Converted | Ending:
    """Write the bundle; what it answers is the board's to show."""
    facts = CaseFacts().with_note(_ON_HOST_NOTE)
    path = folder / BUNDLE
    try:
        with trial.clock(Phase.CONVERT):
            sklearn2rknn.convert(tried.estimator, path, example_input=tried.example)
    except CONVERSION_ERRORS as error:
        return conversion_ending(error, facts)
    if trial.tamper is not None:
        trial.tamper(path)
    bundle = scirknn.read_bundle(path)
    return Converted(
        bundle=bundle,
        files=[],
        model=scirknn.load(path),
        reference=truth,
        limits={Stage.BOARD: attrs.evolve(_EQUAL, counted=np.isin(np.arange(len(truth.X)), tried.judged))},
        answers={},
        step=np.zeros(truth.answer.output.shape[1]),
        judged=tried.judged,
        facts=facts,
        is_conv=True,
    )


@attrs.frozen(eq=False)
class _Conversion:
    """A bundle, how it was made, and why the converter would not hand it over by itself."""

    bundle: scirknn.Bundle
    files: list[RknnFile]
    record: ConversionRecord
    refusal: str


def _run_before_board(
    trial: HostTrial, tried: ModelUnderTest, truth: Reference, conversion: _Conversion, facts: CaseFacts
) -> Converted | Ending:
    case, clock = trial.case, trial.clock
    bundle, files, record = conversion.bundle, conversion.files, conversion.record
    assert trial.toolkit is not None
    with clock(Phase.LIMITS):
        graph = read_graph(record.models[-1], bundle)
        is_promised = case.kind == "own" or case.is_of_data_set
        limits = limits_for(truth, graph, files, tried.judged, is_promised=is_promised)
    if trial.tamper is not None:
        trial.tamper(bundle.path)
    with clock(Phase.STAGES):
        run = run_on_virtual_npu(bundle.path, truth.X)
        if isinstance(run, Ending):
            return attrs.evolve(run, facts=facts)
        answers = _answers(bundle, truth, record, run.output)
        findings = _compare_with_simulator(bundle, record, answers, limits)
    if case.second_build:
        with clock(Phase.AGAIN):
            findings = (*findings, _build_again(bundle, trial.toolkit, record))
    return Converted(
        bundle=bundle,
        files=files,
        model=run.model,
        reference=truth,
        limits=limits,
        answers=answers,
        step=output_step(bundle, truth.answer.output, files),
        judged=tried.judged,
        facts=facts.with_note(run.note),
        is_conv=is_convolutions(case),
        findings=findings,
        refusal=conversion.refusal,
    )


def is_convolutions(case: Case) -> bool:
    """Whether a case's layers are convolutions."""
    return "form" not in dict(case.options)


def facts_of_bundle(facts: CaseFacts, bundle: scirknn.Bundle, files: list[RknnFile]) -> CaseFacts:
    """Add the estimated time, the digests and the placement of a bundle."""
    return attrs.evolve(
        facts,
        estimate=estimate(files[-1]).seconds,
        digests={each.file: each.content_digest for each in bundle.variants},
        placement=tuple((name, kind, where) for name, kind, where in bundle.details["placement"]["layers"]),
        rules=_rules_by_kind(files),
    )


def _rules_by_kind(files: list[RknnFile]) -> dict[str, int]:
    try:
        rules = {rule for file in files for rule in rules_followed(file)}
    except UnsupportedProgram:
        return {}
    return {kind.value: count for kind, count in count_by_kind(rules).items()}


def _convert(case: Case, tried: ModelUnderTest, toolkit: sklearn2rknn.Toolkit, path: Path) -> _Conversion:
    """Convert a model whatever its numbers, which the harness judges itself."""
    options: dict[str, Any] = dict(case.options)
    recorder = RecordingToolkit(toolkit)
    with warnings.catch_warnings(record=True) as caught:
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
    refusals = [str(each.message) for each in caught if each.category is sklearn2rknn.CheckWarning]
    # No rounding explains a file beyond its bound: the fault is the toolkit's.
    is_toolkits_fault = case.is_of_data_set and CheckResult.from_json(bundle.details["check"]).is_beyond_bound
    refusal = refusals[0] if refusals and not is_toolkits_fault else ""
    return _Conversion(bundle, model_files(bundle), recorder.record_of(bundle), refusal)


def conversion_ending(error: Exception, facts: CaseFacts | None = None) -> Ending:
    """Return how a case ends whose conversion raised one of `CONVERSION_ERRORS`."""
    outcome, stage, reason = Outcome.INFRA_ERROR, Stage.SIMULATOR, str(error)
    refusals = [cause for kind, cause in _REFUSALS.items() if isinstance(error, kind)]
    if refusals:
        outcome, stage = Outcome.UNSUPPORTED, Stage.ONNX
    elif isinstance(error, sklearn2rknn.CheckError):
        outcome = Outcome.MISMATCH
    elif isinstance(error, sklearn2rknn.ConversionError):
        is_late = "it took longer than" in error.reason
        outcome = Outcome.TIMEOUT if is_late else Outcome.CONVERT_ERROR
        reason = toolkit_failure(error)
    elif isinstance(error, VirtualNpuError):
        # The toolkit reported success and wrote what cannot be read.
        outcome, stage = Outcome.CONVERT_ERROR, Stage.VIRTUAL_NPU
    return Ending(outcome, stage, reason, facts or CaseFacts(), refusals[0] if refusals else "")


@attrs.frozen(eq=False)
class VirtualRun:
    """A bundle's model on the virtual NPU here and its output, or a note why there are none."""

    model: Methods | None
    output: Array | None
    note: str = ""


def run_on_virtual_npu(path: Path, X: Array) -> VirtualRun | Ending:
    """Run a bundle on the virtual NPU here."""
    try:
        model = scirknn.load(path, device="virtual")
        return VirtualRun(model, np.asarray(model.raw_output(X), np.float32))
    except scirknn.OutputRangeError as error:
        return Ending(Outcome.MISMATCH, Stage.VIRTUAL_NPU, str(error))
    except scirknn.BundleError as error:
        return Ending(Outcome.LOAD_ERROR, Stage.VIRTUAL_NPU, str(error))
    except (scirknn.NativeError, VirtualNpuError) as error:
        return VirtualRun(None, None, f"The virtual NPU cannot compute this file: {error}")


def _answers(
    bundle: scirknn.Bundle, truth: Reference, record: ConversionRecord, executed: Array | None
) -> dict[Stage, Answer]:
    rows, simulated = simulator_output(record, bundle, truth.inputs)
    answers = {
        Stage.ONNX: answer_from_output(truth, onnx_output(record.models[-1], bundle, truth.inputs)),
        Stage.SIMULATOR: answer_from_output(truth, simulated, rows),
    }
    if executed is not None:
        answers[Stage.VIRTUAL_NPU] = answer_from_output(truth, executed)
    return answers


def _compare_with_simulator(
    bundle: scirknn.Bundle,
    record: ConversionRecord,
    answers: Mapping[Stage, Answer],
    limits: Mapping[Stage, Limits],
) -> tuple[Finding, ...]:
    """Compare the simulated file's outputs on the virtual NPU with the simulator's, if they have a bound."""
    bounds = limits[Stage.SIMULATOR].output
    if bounds is None or Stage.VIRTUAL_NPU not in answers:
        return ()
    assert record.inputs is not None
    assert record.simulated is not None
    file, exact, parameters = _simulated_file(bundle, record)[1], record.rounded, dict[str, Array]()
    if bundle.precision == "int16" and not record.has_tables:
        exact = record.inputs[:COMPARED_RUNS], record.simulated[:COMPARED_RUNS]
        parameters = record.parameters()
    # Between the parts of a layer that the toolkit cut is a rounding that the simulator does not know.
    is_cut = bool({node.type for node in read(file).nodes} & {"Mul", "Split"})
    error = None if exact is None or is_cut else simulator_equals_virtual_npu(file, *exact, parameters)
    answer = answers[Stage.SIMULATOR]
    executed = answers[Stage.VIRTUAL_NPU].output[answer.rows]
    error = error or within_twice_the_bound(answer.output, executed, bounds[answer.rows])
    return (Finding("simulator_equals_virtual_npu", Stage.VIRTUAL_NPU, error),)


def _build_again(bundle: scirknn.Bundle, toolkit: sklearn2rknn.Toolkit, record: ConversionRecord) -> Finding:
    """Build the simulated file once more."""
    model, config, calibration = record.built
    try:
        built = toolkit.build(model, config=config, calibration=calibration)
        error = digest_reproducible(_simulated_file(bundle, record)[0].content_digest, built.rknn)
    except sklearn2rknn.ConversionError as refusal:
        error = f"A second build of the same model fails. {toolkit_failure(refusal)}"
    return Finding("digest_reproducible", Stage.SIMULATOR, error, Outcome.NONDETERMINISTIC)


def _simulated_file(bundle: scirknn.Bundle, record: ConversionRecord) -> tuple[Variant, Path]:
    return next(pair for pair in bundle.files() if pair[0].samples == record.samples)
