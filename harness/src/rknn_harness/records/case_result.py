"""The result of a case."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from rknn_harness.records.case import Case, Key, Score
from rknn_harness.records.latency import Latency
from rknn_harness.records.outcomes import ExitCode, Outcome, Stage, exit_code
from rknn_harness.records.stage_metrics import StageMetrics

__all__ = ["CaseResult", "results_code"]

_FIGURES = ("npu_gain",)
"""What older records have among the properties, though it cannot fail; the report has its figures."""


@attrs.frozen
class CaseResult:
    """What came of a case.

    Attributes
    ----------
    case : Case
    outcome : Outcome
    stage : Stage or None
        The first stage that departs, or that could not be reached; None for a pass.
    reason : str
        A sentence; empty for a pass.
    metrics : mapping of Stage to StageMetrics
    notes : tuple of str
        What a person should know of a case whatever its outcome, such as a stage that could not speak.
    latency : Latency or None
        Of one predict, timed apart from the accuracy pass.
    placement : tuple of (layer, type, where)
    digests : mapping of str to str
        ``onnx`` and the content digest of each model file.
    weights : int
        Parameters of the network, 0 when it was not built.
    attempts : int
        How often the case was tried; more than 1 only after trouble on the way.
    seconds : mapping of str to float
        Wall time by phase.
    board : str
        The board's name.
    properties : mapping of str to str
        Of the names in `PROPERTIES` those that were examined: empty text where the property held, otherwise a
        sentence that says how it failed.
    macs : int
        Multiply-adds of one row, 0 when the network was not built.
    estimate : tuple of two floats, or None
        Seconds that one run of the timed model file should take, low and high, as `virtual_npu.estimate` has
        it from published rates. Never a measurement.
    cpu : mapping of str to Latency
        ``numpy`` and ``scikit-learn``: the timed rows on the board's CPU.
    clocks : mapping
        ``pinned`` (mapping or None), ``before`` and ``after`` (mappings), ``moved`` (bool), ``temperature``
        ([least, greatest] in degrees Celsius, or None). Empty when nothing was timed.
    samples : str
        Path below the run's folder of the raw timing samples in seconds: JSON, lists by ``npu``, ``numpy``,
        ``scikit-learn``. Empty when they were not kept.
    expected : str
        The reason that the expectations give for this case's failure. On a result that passed it says that
        the list is out of date.
    defect : str
        Name of the vendor's known defect that the failure was recognised as.
    score : Score or None
        Of a user's own model, where the run was given what is true of its rows.
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

    @property
    def key(self) -> Key:
        """What the result is known by in its run; of a key a run holds one result."""
        return self.case.id, self.case.toolkit, self.board

    @property
    def is_failure(self) -> bool:
        """Whether the case, or a property of it, failed, expected or not."""
        return self.outcome.is_failure or any(self.properties.values())

    def document(self) -> dict[str, Any]:
        """Return the result as JSON types; ``Case.from_document`` reads its case from the same document."""
        return {
            **self.case.document(),
            "outcome": self.outcome.value,
            "stage": None if self.stage is None else self.stage.value,
            "reason": self.reason,
            "metrics": {stage.value: attrs.asdict(metrics) for stage, metrics in self.metrics.items()},
            "notes": list(self.notes),
            "latency": None if self.latency is None else attrs.asdict(self.latency),
            "placement": [list(layer) for layer in self.placement],
            "digests": dict(self.digests),
            "weights": self.weights,
            "attempts": self.attempts,
            "seconds": {phase: round(value, 4) for phase, value in self.seconds.items()},
            "board": self.board,
            "properties": dict(self.properties),
            "macs": self.macs,
            "estimate": None if self.estimate is None else list(self.estimate),
            "cpu": {name: attrs.asdict(latency) for name, latency in self.cpu.items()},
            "clocks": dict(self.clocks),
            "samples": self.samples,
            "expected": self.expected,
            "defect": self.defect,
            "score": None if self.score is None else attrs.asdict(self.score),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> CaseResult:
        """Read what `document` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is not such a document.
        """
        stage, latency, estimate = document["stage"], document["latency"], document["estimate"]
        return cls(
            case=Case.from_document(document),
            outcome=Outcome(document["outcome"]),
            stage=None if stage is None else Stage(stage),
            reason=document["reason"],
            metrics={Stage(name): StageMetrics(**value) for name, value in document["metrics"].items()},
            notes=tuple(document["notes"]),
            latency=None if latency is None else Latency(**latency),
            placement=tuple((name, kind, where) for name, kind, where in document["placement"]),
            digests=document["digests"],
            weights=document["weights"],
            attempts=document["attempts"],
            seconds=document["seconds"],
            board=document["board"],
            properties={
                name: wrong for name, wrong in document["properties"].items() if name not in _FIGURES
            },
            macs=document["macs"],
            estimate=None if estimate is None else (estimate[0], estimate[1]),
            cpu={name: Latency(**value) for name, value in document["cpu"].items()},
            clocks=document["clocks"],
            samples=document["samples"],
            expected=document["expected"],
            defect=document["defect"],
            score=None if document.get("score") is None else Score(**document["score"]),
        )

    def line(self) -> str:
        """Return the result as one line of JSON, its end included."""
        return json.dumps(self.document(), allow_nan=False) + "\n"


def results_code(results: Iterable[CaseResult]) -> ExitCode:
    """Return the exit code of a run with these results.

    An expected failure is none, and one that passed fails the run: its list is out of date.
    """
    found = list(results)
    code = exit_code(result.outcome for result in found if not result.expected)
    if code is ExitCode.CLEAN and any(result.is_failure != bool(result.expected) for result in found):
        return ExitCode.CONFORMANCE
    return code
