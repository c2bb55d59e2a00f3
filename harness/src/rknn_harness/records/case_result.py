"""The result of a case."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import attrs

from rknn_harness.records.case import PROPERTIES, Case, Key, Score, file_name
from rknn_harness.records.latency import Latency
from rknn_harness.records.outcomes import Cause, ExitCode, Kind, Outcome, Stage, exit_code
from rknn_harness.records.stage_metrics import StageMetrics
from scirknn.files import sha256_of_bytes

__all__ = ["GIVEN_UP", "MADE_SMALLER", "NOT_DRAWN", "CaseResult", "results_code", "without_figures"]

GIVEN_UP = "The board was given up earlier: "
"""Before the first error's sentence in the reason of each later case on that board."""

MADE_SMALLER = "Made smaller from"
"""Beginning of the last note of a case that a run made from one that failed."""

NOT_DRAWN = "a share of the cases is built twice (--second-builds), and this one was not drawn"
"""Why `digest_reproducible` was not run."""

_FIGURES = ("npu_gain",)
"""Properties of older records that cannot fail."""


@attrs.frozen
class CaseResult:
    """The result of a case.

    Attributes
    ----------
    case : Case
    outcome : Outcome
    stage : Stage or None
        The first stage that fails, or that could not be reached; None for a pass.
    reason : str
        A sentence; empty for a pass.
    metrics : mapping of Stage to StageMetrics
    notes : tuple of str
        For people, whatever the outcome, such as a stage that could not run.
    latency : Latency or None
        Of one predict.
    placement : tuple of (layer, type, where)
    digests : mapping of str to str
        ``onnx`` and the content digest of each model file.
    weights : int
        Parameters of the network, 0 when it was not built.
    attempts : int
        More than 1 only after infrastructure errors.
    seconds : mapping of str to float
        Wall time by `rknn_harness.records.phases.Phase`.
    board : str
        The board's name.
    properties : mapping of str to str
        Those of `PROPERTIES` that were examined: empty text where the property held, otherwise how it failed.
    macs : int
        Multiply-adds of one row, 0 when the network was not built.
    estimate : tuple of two floats, or None
        Seconds of one call with the timed model file, low and high, as `virtual_npu.estimate` computes them.
    cpu : mapping of str to Latency
        ``numpy`` and ``scikit-learn``: the timed rows on the board's CPU.
    clocks : mapping
        ``pinned`` (mapping or None), ``before`` and ``after`` (mappings), ``moved`` (bool), ``temperature``
        ([least, greatest] in degrees Celsius, or None). Empty when nothing was timed.
    samples : str
        Path below the run's folder of the raw timing samples in seconds: JSON, lists by ``npu`` and the names
        of `cpu`. Empty when they were not kept.
    expected : str
        Why the expectations expect this case to fail; on a result that passed the list is out of date.
    defect : str
        Name of the vendor's known defect that was recognised.
    score : Score or None
        Of a user's own model, where the run was given true labels or values.
    cause : str
        Why it ended so, the same text for all cases of a cause: a `Cause`, a property's name, or the outcome
        with a digest of the reason without its figures. Empty where nothing is wrong; see `with_cause`.
    rules : mapping of str to int
        How many rules of arithmetic the files call for, by `virtual_npu.evidence.Kind`; empty where the
        virtual NPU cannot execute them.
    """

    case: Case
    outcome: Outcome
    stage: Stage | None = None
    reason: str = ""
    metrics: Mapping[Stage, StageMetrics] = attrs.field(factory=dict)
    notes: tuple[str, ...] = ()
    latency: Latency | None = None
    placement: tuple[tuple[str, str, str], ...] = ()
    digests: Mapping[str, str] = attrs.field(factory=dict)
    weights: int = 0
    attempts: int = 1
    seconds: Mapping[str, float] = attrs.field(factory=dict)
    board: str = "virtual"
    properties: Mapping[str, str] = attrs.field(factory=dict)
    macs: int = 0
    estimate: tuple[float, float] | None = None
    cpu: Mapping[str, Latency] = attrs.field(factory=dict)
    clocks: Mapping[str, Any] = attrs.field(factory=dict)
    samples: str = ""
    expected: str = ""
    defect: str = ""
    score: Score | None = None
    rules: Mapping[str, int] = attrs.field(factory=dict)
    cause: str = ""

    @property
    def key(self) -> Key:
        """Its key in a run, which holds one result of each."""
        return self.case.id, self.case.toolkit, self.board

    @property
    def is_failure(self) -> bool:
        """Whether the case, or a property of it, failed, expected or not."""
        return self.outcome.is_failure or any(self.properties.values())

    @property
    def is_made_smaller(self) -> bool:
        """Whether the run made the case from one that failed, beside its plan."""
        return bool(self.notes) and self.notes[-1].startswith(MADE_SMALLER)

    @property
    def not_run(self) -> Mapping[str, str]:
        """The properties that the run left out on purpose, with the reason."""
        is_left_out = bool(self.digests) and not self.case.second_build
        return {"digest_reproducible": NOT_DRAWN} if is_left_out else {}

    def without(self, properties: Collection[str]) -> CaseResult:
        """Return the result as it is without properties; what one of them alone decided is a pass."""
        kept = {name: error for name, error in self.properties.items() if name not in properties}
        sentence = f"{self.stage.value}: {self.reason}" if self.stage is not None else ""
        if sentence not in {error for name, error in self.properties.items() if error and name in properties}:
            return attrs.evolve(self, properties=kept)
        return attrs.evolve(self, properties=kept, outcome=Outcome.PASS, stage=None, reason="", cause="")

    @property
    def kind(self) -> Kind:
        """How it counts; a case that passed and is expected to fail counts as wrong."""
        if self.outcome is Outcome.INFRA_ERROR:
            return Kind.UNTRIED
        if self.is_failure:
            return Kind.KNOWN if self.expected else Kind.WRONG
        if self.expected:
            return Kind.WRONG
        return Kind.REFUSED if self.outcome is Outcome.UNSUPPORTED else Kind.RIGHT

    @property
    def ending(self) -> str:
        """How it ended, in words: its outcome, unless it passed and is wrong nevertheless."""
        if self.outcome is Outcome.PASS and self.kind is Kind.WRONG:
            return "property fails" if self.is_failure else "unexpected pass"
        return str(self.outcome.value).replace("_", " ")

    @property
    def first_bad_stage(self) -> Stage | None:
        """The first stage whose answer is not right; None where there is none, as where a machine failed."""
        return None if self.kind is Kind.UNTRIED else self.stage

    @property
    def meaning(self) -> str:
        """Its cause in words; empty where nothing is wrong."""
        if self.kind is Kind.WRONG and not self.is_failure:
            return Cause.OUTDATED.meaning
        if self.cause in PROPERTIES:
            return f"it does not hold that {PROPERTIES[self.cause]}"
        if self.cause in set(Cause):
            return Cause(self.cause).meaning
        return self.outcome.meaning if self.cause else ""

    def with_cause(self) -> CaseResult:
        """Name the cause of a result that has none by what else is recorded of it."""
        failed = [name for name in PROPERTIES if self.properties.get(name)]
        if self.cause or (self.outcome is Outcome.PASS and not failed):
            return self
        if self.outcome in (Outcome.PASS, Outcome.MISMATCH) and failed:
            return attrs.evolve(self, cause=failed[0])
        digest = sha256_of_bytes(
            without_figures(self.reason.removeprefix(GIVEN_UP)).encode(errors="backslashreplace")
        )[:8]
        return attrs.evolve(self, cause=f"{self.outcome.value}-{digest}")

    def to_json(self) -> dict[str, Any]:
        """Return the result as JSON types; ``Case.from_json`` reads its case from the same document."""
        fields = attrs.asdict(self, filter=lambda field, _: field.name != "case")
        fields["seconds"] = {phase: round(value, 4) for phase, value in self.seconds.items()}
        plain: dict[str, Any] = json.loads(json.dumps(fields))
        return {**self.case.to_json(), **plain}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> CaseResult:
        """Read what `to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is not such a document.
        """
        plain = {name: document[name] for name in _FIELDS}
        stage, latency, estimate = plain["stage"], plain["latency"], plain["estimate"]
        properties, score = plain["properties"], document.get("score")
        if plain["samples"]:
            file_name(plain["samples"].removeprefix("samples/"))
        converted = {
            "board": file_name(plain["board"]),
            "outcome": Outcome(plain["outcome"]),
            "stage": None if stage is None else Stage(stage),
            "metrics": {
                Stage(name): StageMetrics.from_json(value) for name, value in plain["metrics"].items()
            },
            "notes": tuple(plain["notes"]),
            "latency": None if latency is None else Latency(**latency),
            "placement": tuple((name, kind, where) for name, kind, where in plain["placement"]),
            "properties": {name: properties[name] for name in properties if name not in _FIGURES},
            "estimate": None if estimate is None else (estimate[0], estimate[1]),
            "cpu": {name: Latency(**value) for name, value in plain["cpu"].items()},
            "score": None if score is None else Score(**score),
            "rules": document.get("rules", {}),
            "cause": document.get("cause", ""),
        }
        return cls(Case.from_json(document), **{**plain, **converted}).with_cause()

    document, from_document = to_json, from_json  # deprecated names

    def line(self) -> str:
        """Return the result as one line of JSON, its end included."""
        return json.dumps(self.to_json(), allow_nan=False) + "\n"


_LATER = ("case", "score", "rules", "cause")  # read apart: records of before lack them
_FIELDS = tuple(field.name for field in attrs.fields(CaseResult) if field.name not in _LATER)


def results_code(results: Iterable[CaseResult]) -> ExitCode:
    """Return the exit code of a run with these results.

    An expected failure is none, and one that passed fails the run: its list is out of date.
    """
    results = list(results)
    code = exit_code(result.outcome for result in results if not result.expected)
    if code is ExitCode.CLEAN and any(result.is_failure != bool(result.expected) for result in results):
        return ExitCode.CONFORMANCE
    return code


def without_figures(sentence: str) -> str:
    """Return a reason without its figures and names, which is the same for all cases of a cause."""
    text = re.sub(r"\b(float16|int8|int16)\b", "PRECISION", sentence)
    text = re.sub(r"\([^()]*\)", "()", text)
    return re.sub(r"[-+]?\d[\d.,]*(e[-+]?\d+)?%?", "#", text)
