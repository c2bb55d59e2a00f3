"""One model to try and what came of it, each as plain data that a line of JSON holds and gives back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from rknn_harness.judge import StageMetrics
from rknn_harness.latency import Latency
from rknn_harness.mlp_spec import MlpSpec
from rknn_harness.outcomes import ExitCode, Outcome, Stage, exit_code

__all__ = [
    "PRECISIONS",
    "PROPERTIES",
    "Case",
    "CaseResult",
    "Key",
    "Score",
    "dataset_case",
    "own_case",
    "random_case",
    "results_code",
]

PRECISIONS = ("float16", "int8", "int16")

PROPERTIES = {
    "bound": "the output lies within the derived bound of scikit-learn's",
    "labels": "labels are scikit-learn's, away from ties",
    "onnx_equals_sklearn": "the float32 graph computes what scikit-learn does",
    "simulator_equals_virtual_npu": "the vendor's simulator and the virtual NPU compute the same",
    "board_equals_virtual_npu": "the board computes what the virtual NPU does",
    "rows_independent": "a row's answer depends neither on its neighbours nor on padding",
    "input_forms": "the input's dtype and memory order change nothing",
    "deterministic": "the same rows give the same answer twice",
    "cores_agree": "each core, and the pool of them, gives the same answer",
    "digest_reproducible": "two conversions give files of the same content",
    "all_on_npu": "no layer is placed on the CPU",
    "batch_latency": "a call of many rows takes no longer than as many calls of one",
    "latency_baseline": "a call takes no longer than a stated factor of the last accepted run's",
}
"""What is asked of every case, by name: each either holds or fails with a sentence."""

_FIGURES = ("npu_gain",)
"""What older records have among the properties, though it cannot fail; the report has its figures."""

Key = tuple[str, str, str]
"""What a result is known by in a run: the case's id, the toolkit, the board."""


@attrs.frozen
class Case:
    """A model, and how it is to be converted.

    Attributes
    ----------
    id : str
        The same in every run, whatever the toolkit, so that two runs can be compared case by case.
    kind : {"dataset", "random", "corpus", "own"}
        A random network that failed once is tried from the corpus, as it was then; a user's own model is kept
        in the run's folder.
    source : str or MlpSpec
        The name of a fixed model (`rknn_harness.datasets`) or of the user's own, or a random network's spec.
    precision : {"float16", "int8", "int16"}
    toolkit : str
        Version of rknn-toolkit2.
    batch_size : tuple of int
        Rows per run of each model file.
    options : tuple of (str, str)
        Other options of the conversion, sorted by name; empty for the converter's own defaults.
    """

    id: str
    kind: str
    source: str | MlpSpec
    precision: str
    toolkit: str
    batch_size: tuple[int, ...]
    options: tuple[tuple[str, str], ...] = ()

    @property
    def group(self) -> str:
        """What the case is counted under: its model's name, or ``random``."""
        return self.source if isinstance(self.source, str) else self.kind

    def document(self) -> dict[str, Any]:
        """Return the case as JSON types."""
        source = self.source.document() if isinstance(self.source, MlpSpec) else {"name": self.source}
        return {
            "id": self.id,
            "kind": self.kind,
            "spec": source,
            "precision": self.precision,
            "toolkit": self.toolkit,
            "batch_size": list(self.batch_size),
            "options": dict(self.options),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Case:
        """Read what `document` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is not such a document.
        """
        kind, spec = document["kind"], document["spec"]
        if kind not in ("dataset", "random", "corpus", "own"):
            raise ValueError(f"No case is of kind {kind!r}.")
        source = spec["name"] if kind in ("dataset", "own") else MlpSpec.from_document(spec)
        sizes, options = tuple(document["batch_size"]), tuple(sorted(document["options"].items()))
        return cls(document["id"], kind, source, document["precision"], document["toolkit"], sizes, options)


def dataset_case(name: str, precision: str, toolkit: str, batch_size: tuple[int, ...]) -> Case:
    """Return the case of a real data set."""
    return Case(f"{name}-{precision}-n{_sizes(batch_size)}", "dataset", name, precision, toolkit, batch_size)


def own_case(name: str, precision: str, toolkit: str, batch_size: tuple[int, ...]) -> Case:
    """Return the case of a user's own model; it is kept in the run's folder under `name`."""
    return Case(f"{name}-{precision}-n{_sizes(batch_size)}", "own", name, precision, toolkit, batch_size)


def random_case(
    spec: MlpSpec,
    precision: str,
    toolkit: str,
    batch_size: tuple[int, ...],
    options: tuple[tuple[str, str], ...] = (),
) -> Case:
    """Return the case of a random network, named by what it is and by a digest of its spec."""
    text = json.dumps(spec.document(), sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    widths = "-".join(map(str, spec.widths))
    chosen = "".join(f"-{name}.{value}" for name, value in options)
    name = f"{spec.task}-{spec.activation}-{widths}-{precision}-n{_sizes(batch_size)}{chosen}-{digest}"
    return Case(name, "random", spec, precision, toolkit, batch_size, options)


def _sizes(batch_size: tuple[int, ...]) -> str:
    return "+".join(map(str, batch_size))


@attrs.frozen
class Score:
    """How well a model does by what is true of its rows, beside scikit-learn.

    Attributes
    ----------
    measure : {"accuracy", "R2"}
    rows : int
        Rows that it is counted on: those that the file was not built from.
    board : float or None
        None where `rows` are too few to say.
    sklearn : float or None
        scikit-learn's own; None too where there is no estimator.
    """

    measure: str
    rows: int
    board: float | None
    sklearn: float | None


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
