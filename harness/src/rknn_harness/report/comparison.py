"""What changed from one run to another, beyond what two runs of the same thing differ by.

Outcomes are compared case by case. Numbers are compared as ratios of the same case in both runs, first over
all cases of a board, toolkit and precision together, then for single cases that stand out from the rest. A
movement is reported when its interval leaves out "no change" and it is large enough to matter
(`rknn_harness.report.measures`): docs/compare-runs.md explains the intervals.

A failure that the expectations name and an infrastructure error (``infra_error``) never count.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs
import numpy as np
from scipy import stats

from rknn_harness.records.case import Key
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import ExitCode, Outcome
from rknn_harness.records.query import failed_properties, field, last_metrics
from rknn_harness.records.run_folder import Run
from rknn_harness.report.measures import ERROR, LABELS, TIME, Measure, unequal_labels
from scirknn.arrays import Floats

__all__ = ["Comparison", "Movement", "OutcomeChange", "compare"]

FAMILY = 1e-3
"""Chance that a comparison of two runs of the same thing reports any movement."""


@attrs.frozen
class OutcomeChange:
    """A case whose outcome changed.

    Attributes
    ----------
    key : (id, toolkit, board)
    before, after : Outcome
    reason : str
        Of the outcome now, or of the one before if it passes now.
    properties : tuple of str
        Those that fail now and did not before.
    """

    key: Key
    before: Outcome
    after: Outcome
    reason: str
    properties: tuple[str, ...] = ()


@attrs.frozen
class Movement:
    """A number that moved.

    Attributes
    ----------
    measure : {"time", "error", "labels"}
    board, toolkit, precision : str
    case : str
        The case's id, empty for all of the group.
    cases : int
    change, low, high : float
        Ratio of after to before with its interval; for labels the change of the share of unequal ones.
    """

    measure: str
    board: str
    toolkit: str
    precision: str
    case: str
    cases: int
    change: float
    low: float
    high: float

    @property
    def worse(self) -> bool:
        """Whether it is for the worse."""
        return self.change > (0 if self.measure == "labels" else 1)


@attrs.frozen
class Comparison:
    """Two runs compared.

    Attributes
    ----------
    before, after : Run
    compared : int
        Cases that both runs tried.
    failing, passing : tuple of OutcomeChange
    missing, new : tuple of (id, toolkit, board)
        Cases of one run alone.
    untried : int
        Cases that either run could not try, of those that both have.
    moved : tuple of Movement
    made : tuple of (str, str, str)
        Versions, seed and facts that differ: name, before, after.
    """

    before: Run
    after: Run
    compared: int
    failing: tuple[OutcomeChange, ...]
    passing: tuple[OutcomeChange, ...]
    missing: tuple[Key, ...]
    new: tuple[Key, ...]
    untried: int
    moved: tuple[Movement, ...]
    made: tuple[tuple[str, str, str], ...]

    @property
    def worse(self) -> tuple[Movement, ...]:
        """The movements for the worse."""
        return tuple(movement for movement in self.moved if movement.worse)

    @property
    def code(self) -> ExitCode:
        """1 for a regression, 3 if no case could be compared."""
        if self.failing or self.worse:
            return ExitCode.CONFORMANCE
        return ExitCode.CLEAN if self.compared else ExitCode.INFRASTRUCTURE

    @property
    def verdict(self) -> str:
        """One line."""
        if not self.compared:
            return "The runs have no case in common that both could try."
        better = [movement for movement in self.moved if not movement.worse]
        counts = {
            "newly failing": len(self.failing),
            "moved for the worse": len(self.worse),
            "newly passing": len(self.passing),
            "moved for the better": len(better),
        }
        parts = [f"{count} {words}" for words, count in counts.items() if count]
        return (", ".join(parts) or "Nothing changed") + f", of {self.compared} cases that both runs tried."


def compare(before: Run, after: Run, *, time: bool = True) -> Comparison:
    """Compare two runs.

    Parameters
    ----------
    before, after : Run
    time : bool
        Whether to compare times: between hosts, or on a busy one, those of a virtual board say nothing.
    """
    old = {result.key: result for result in before.results}
    new = {result.key: result for result in after.results}
    both = [(old[key], new[key]) for key in new if key in old]
    tried = [pair for pair in both if Outcome.INFRA_ERROR not in (pair[0].outcome, pair[1].outcome)]
    changes = [_change(*pair, time=time) for pair in tried]
    measures = (ERROR, LABELS, TIME) if time else (ERROR, LABELS)
    sound = [pair for pair in tried if not any(result.outcome.is_failure for result in pair)]
    return Comparison(
        before=before,
        after=after,
        compared=len(tried),
        failing=tuple(change for change, fails in changes if change is not None and fails),
        passing=tuple(change for change, fails in changes if change is not None and not fails),
        missing=tuple(key for key in old if key not in new),
        new=tuple(key for key in new if key not in old),
        untried=len(both) - len(tried),
        moved=tuple(_movements(sound, measures, before, after)),
        made=tuple(_made(before.manifest, after.manifest)),
    )


_TIME_PROPERTIES = ("batch_latency", "latency_baseline")


def _change(before: CaseResult, after: CaseResult, *, time: bool) -> tuple[OutcomeChange | None, bool]:
    """Return how a case's outcome changed, if it did, and whether for the worse."""
    old, new = (
        [name for name in failed_properties(result) if time or name not in _TIME_PROPERTIES]
        for result in (before, after)
    )
    failed, fails = before.outcome.is_failure or bool(old), after.outcome.is_failure or bool(new)
    fresh = tuple(name for name in new if name not in old)
    refused = before.outcome is Outcome.PASS and not failed and after.outcome is Outcome.UNSUPPORTED
    if ((fresh or (fails and not failed)) and not after.expected) or refused:
        reason = " ".join([after.properties[name] for name in fresh] or [after.reason])
        return OutcomeChange(after.key, before.outcome, after.outcome, reason, fresh), True
    if failed and after.outcome is Outcome.PASS and not fails:
        reason = " ".join([before.properties[name] for name in old] or [before.reason])
        return OutcomeChange(after.key, before.outcome, after.outcome, reason), False
    return None, False


Difference = tuple[float, CaseResult, CaseResult]
"""A case's difference on the measure's scale, and its results before and after."""


def _movements(
    pairs: Sequence[tuple[CaseResult, CaseResult]], measures: Sequence[Measure], before: Run, after: Run
) -> Iterable[Movement]:
    groups: dict[tuple[str, str, str], list[tuple[CaseResult, CaseResult]]] = {}
    for old, new in pairs:
        groups.setdefault((new.board, new.case.toolkit, new.case.precision), []).append((old, new))
    tests = [
        (measure, place, differences)
        for measure in measures
        for place, group in groups.items()
        if (differences := _differences(measure, group))
    ]
    # Half of the chance goes to groups, half to cases; each test has two directions.
    per_group = FAMILY / 4 / max(len(tests), 1)
    per_case = FAMILY / 4 / max(sum(len(differences) for _, _, differences in tests), 1)
    runs = _Runs(before, after, np.random.default_rng(0))
    for measure, place, differences in tests:
        values = np.array([value for value, _, _ in differences])
        middle, half = _typical(values, per_group, runs.random, mean=measure is LABELS)
        is_shifted = abs(middle) >= measure.group and abs(middle) > half
        if is_shifted:
            yield _movement(measure, (*place, "", len(values)), middle, half)
        # A shift of all the group is not a case's own movement. Where half of it moved the middle is not
        # typical.
        common = middle if is_shifted else max(-measure.group, min(middle, measure.group))
        for difference, own in zip(differences, values - common, strict=True):
            value, _, new = difference
            if min(abs(own), abs(value)) < measure.case:
                continue
            if measure is TIME and abs(runs.fastest(difference) - common) < measure.case:
                continue
            if measure is LABELS:
                half = _label_half(difference, per_case)
            else:
                spread = _between_runs(values - common, own, measure.floor)
                inside = runs.spread_of_medians(difference) if measure is TIME else 0.0
                half = float(stats.norm.isf(per_case)) * math.hypot(spread, inside)
            if abs(own) > half:
                yield _movement(measure, (*place, new.case.id, 1), value, half)


def _differences(measure: Measure, pairs: Sequence[tuple[CaseResult, CaseResult]]) -> list[Difference]:
    differences = []
    for old, new in pairs:
        first, second = measure.value(old), measure.value(new)
        if measure is TIME and field(old, "rows") != field(new, "rows"):
            continue
        if first is not None and second is not None:
            differences.append((second - first, old, new))
    return differences


def _typical(values: Floats, tail: float, random: np.random.Generator, *, mean: bool) -> tuple[float, float]:
    """Return a group's typical value and half of its interval; infinite for too few cases."""
    # Labels of most cases do not move at all, and the median would see none that do.
    middle = np.mean if mean else np.median
    if len(values) < 5:
        return float(middle(values)), math.inf
    drawn = values[random.integers(0, len(values), (2000, len(values)))]
    spread = float(np.std(middle(drawn, axis=1)))
    return float(middle(values)), float(stats.t.isf(tail, len(values) - 1)) * spread


def _between_runs(values: Floats, own: float, floor: float) -> float:
    """Return the spread of one case from run to run, from the cases that moved the other way."""
    others = np.abs(values[np.sign(values) != np.sign(own)])
    # 1.4826 makes the median of the magnitudes a normal distribution's standard deviation.
    return max(floor, 1.4826 * float(np.median(others))) if len(others) else math.inf


@attrs.frozen(eq=False)
class _Runs:
    """Both runs, with the generator that their samples are drawn by."""

    before: Run
    after: Run
    random: np.random.Generator

    def fastest(self, difference: Difference) -> float:
        """Return the logarithm of the ratio of the fastest tenths; without samples that of the medians."""
        median, old, new = difference
        first, second = _samples(old, self.before), _samples(new, self.after)
        if first is None or second is None:
            return median
        return math.log(np.quantile(second, 0.1) / np.quantile(first, 0.1))

    def spread_of_medians(self, difference: Difference) -> float:
        """Return the spread of the logarithm of the ratio of two medians, from the raw samples."""
        _, old, new = difference
        first, second = _of_median(old, self.before, self.random), _of_median(new, self.after, self.random)
        return math.hypot(first, second)


def _samples(result: CaseResult, run: Run) -> Floats | None:
    """Return a case's raw times, if they were kept and are times."""
    try:
        samples = np.asarray(json.loads((run.path / result.samples).read_text("utf-8"))["npu"], np.float64)
    except (OSError, KeyError, TypeError, ValueError):
        return None
    return samples if samples.ndim == 1 and len(samples) > 8 and (samples > 0).all() else None


def _of_median(result: CaseResult, run: Run, random: np.random.Generator) -> float:
    """Return the spread of the logarithm of a median, from the raw samples drawn in blocks."""
    samples = _samples(result, run)
    if samples is None:
        # Without the samples: the standard error of a normal distribution's median, from its MAD.
        latency = result.latency
        assert latency is not None
        assert latency.p50 is not None
        return 1.2533 * 1.4826 * latency.mad / latency.p50 / math.sqrt(latency.count)
    block = math.isqrt(len(samples))
    starts = random.integers(0, len(samples) - block + 1, (400, len(samples) // block))
    drawn = samples[(starts[..., None] + np.arange(block)).reshape(400, -1)]
    return float(np.std(np.log(np.median(drawn, axis=1))))


def _label_half(difference: Difference, tail: float) -> float:
    """Return how far shares of unequal labels may differ by chance.

    Of all labels that are unequal in either run, each belongs to one or the other with the same chance. They
    are of the same rows, which makes them differ by less, so this errs on the quiet side.
    """
    results = difference[1:]
    rows = [metrics.rows for metrics in map(last_metrics, results) if metrics is not None]
    shares = [share for share in map(unequal_labels, results) if share is not None]
    total = round(sum(share * count for share, count in zip(shares, rows, strict=True)))
    return float(2 * stats.binom.isf(tail, total, 0.5) - total) / min(rows)


def _movement(measure: Measure, group: tuple[str, str, str, str, int], value: float, half: float) -> Movement:
    ends = (value, value - half, value + half)
    if measure is not LABELS:
        ends = (math.exp(value), math.exp(value - half), math.exp(min(value + half, 700.0)))
    return Movement(measure.name, *group, *ends)


VOLATILE_FACTS = ("temperatures", "memory", "npu_load", "cpu")
"""Facts of a board that differ from hour to hour."""


def _made(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    old, new = dict(_flat(before)), dict(_flat(after))
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            first, second = ("-" if each.get(name) is None else str(each[name]) for each in (old, new))
            yield name, first, second


def _flat(manifest: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    yield from manifest.get("versions", {}).items()
    yield "seed", manifest.get("seed")
    yield "commit", (manifest.get("commit") or {}).get("id")
    yield from ((f"host: {name}", value) for name, value in manifest.get("host", {}).items())
    for toolkit in manifest.get("toolkits", ()):
        for name, value in toolkit.items():
            yield f"toolkit {toolkit['version']}: {name}", value
    for board, facts in manifest.get("boards", {}).items():
        for name, value in facts.items():
            if name not in VOLATILE_FACTS:
                yield f"board {board}: {name}", value
