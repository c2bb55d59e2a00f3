"""The numbers that a report tells, each computed from the run's cases."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import attrs

from rknn_harness.case import CaseResult
from rknn_harness.judge import StageMetrics
from rknn_harness.outcomes import ExitCode, Outcome, Stage, exit_code
from rknn_harness.run_folder import Run

__all__ = ["Group", "StageRow", "Summary", "last_metrics", "summarize"]


@attrs.frozen
class Group:
    """The cases of one data set, or all random ones, in one precision: the worst of each at its last stage.

    Attributes
    ----------
    name, precision : str
    cases, passed : int
    agreement : float or None
        Least share of rows with scikit-learn's label.
    r2 : float or None
        Least R2 against scikit-learn's predictions.
    probability_error : float or None
    relative_error : float or None
        Of the output before the head, over its largest magnitude.
    share : float or None
        Largest error as a share of the derived bound.
    p50 : float or None
        Median over the cases of a call's median seconds.
    """

    name: str
    precision: str
    cases: int
    passed: int
    agreement: float | None
    r2: float | None
    probability_error: float | None
    relative_error: float | None
    share: float | None
    p50: float | None


@attrs.frozen
class StageRow:
    """What one stage shows over all cases of one precision."""

    stage: Stage
    precision: str
    cases: int
    worst: float | None
    median: float | None


@attrs.frozen
class Summary:
    """All that a report tells of a run.

    Attributes
    ----------
    verdict : str
        One line.
    code : ExitCode
    counts : tuple of (Outcome, int)
        Outcomes that occurred, in the order of `Outcome`.
    groups : tuple of Group
    stages : tuple of StageRow
    failures : tuple of CaseResult
        Every case that did not pass.
    retried : int
        Cases that took more than one attempt.
    layers_on_npu, layers_on_cpu : int
    seconds : float
        Sum over the cases.
    """

    verdict: str
    code: ExitCode
    counts: tuple[tuple[Outcome, int], ...]
    groups: tuple[Group, ...]
    stages: tuple[StageRow, ...]
    failures: tuple[CaseResult, ...]
    retried: int
    layers_on_npu: int
    layers_on_cpu: int
    seconds: float


def last_metrics(result: CaseResult) -> StageMetrics | None:
    """Return the metrics of the last stage that spoke: the board's, when it did."""
    for stage in reversed(Stage):
        if stage in result.metrics:
            return result.metrics[stage]
    return None


def summarize(run: Run) -> Summary:
    """Compute a report's numbers."""
    results = run.results
    counts = Counter(result.outcome for result in results)
    keys = sorted(
        {(result.case.group, result.case.precision) for result in results},
        key=lambda key: (key[0] == "random", key),
    )
    places = [where for result in results for _, _, where in result.placement]
    return Summary(
        verdict=_verdict(results, counts, run.torn),
        code=exit_code(counts),
        counts=tuple((outcome, counts[outcome]) for outcome in Outcome if counts[outcome]),
        groups=tuple(
            _group(
                name,
                precision,
                [
                    result
                    for result in results
                    if (result.case.group, result.case.precision) == (name, precision)
                ],
            )
            for name, precision in keys
        ),
        stages=tuple(_stages(results)),
        failures=tuple(result for result in results if result.outcome is not Outcome.PASS),
        retried=sum(result.attempts > 1 for result in results),
        layers_on_npu=places.count("NPU"),
        layers_on_cpu=places.count("CPU"),
        seconds=sum(sum(result.seconds.values()) for result in results),
    )


def _verdict(results: Sequence[CaseResult], counts: Counter[Outcome], torn: bool) -> str:
    if not results:
        return "Nothing was tried."
    failed = sum(count for outcome, count in counts.items() if outcome.is_failure)
    parts = []
    if failed:
        parts.append(f"{failed} of {len(results)} cases fail")
    elif counts[Outcome.PASS] == len(results):
        parts.append(f"All {len(results)} cases agree with scikit-learn")
    else:
        parts.append(f"{counts[Outcome.PASS]} of {len(results)} cases agree with scikit-learn and none fails")
    if counts[Outcome.UNSUPPORTED]:
        parts.append(f"{counts[Outcome.UNSUPPORTED]} refused by the converter")
    if counts[Outcome.INFRA_ERROR]:
        parts.append(f"{counts[Outcome.INFRA_ERROR]} could not be tried")
    if torn:
        parts.append("the run was cut short")
    return "; ".join(parts) + "."


def _group(name: str, precision: str, results: Sequence[CaseResult]) -> Group:
    metrics = [found for found in map(last_metrics, results) if found is not None]
    p50 = [
        result.latency.p50
        for result in results
        if result.latency is not None and result.latency.p50 is not None
    ]
    return Group(
        name=name,
        precision=precision,
        cases=len(results),
        passed=sum(result.outcome is Outcome.PASS for result in results),
        agreement=_of(min, (m.agreement for m in metrics)),
        r2=_of(min, (m.r2 for m in metrics)),
        probability_error=_of(max, (m.probability_error for m in metrics)),
        relative_error=_of(max, (m.relative_error for m in metrics)),
        share=_of(max, (m.output_share for m in metrics)),
        p50=_of(statistics.median, p50),
    )


def _stages(results: Sequence[CaseResult]) -> Iterable[StageRow]:
    for precision in sorted({result.case.precision for result in results}):
        for stage in Stage:
            errors = [
                result.metrics[stage].relative_error
                for result in results
                if result.case.precision == precision and stage in result.metrics
            ]
            if errors:
                yield StageRow(
                    stage, precision, len(errors), _of(max, errors), _of(statistics.median, errors)
                )


def _of(choose: Callable[[list[float]], float], values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return choose(known) if known else None
