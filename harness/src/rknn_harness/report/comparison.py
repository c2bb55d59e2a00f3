"""What changed from one run to another, beyond what two runs of the same thing differ by.

Outcomes are compared case by case. Numbers are compared as ratios of the same case in both runs, first over
all cases of a board, toolkit and precision together, then for single cases that stand out from the rest. A
movement is told when two things hold:

* its interval leaves out "no change". The intervals are so wide that the chance of any false one in a
  whole comparison is about `FAMILY`: each half of it is divided by the number of groups, or of cases, and
  by the two directions (Bonferroni);
* it is large enough to matter (`TIME`, `ERROR`, `LABELS`). This also stands against what no resampling
  of cases shows, because all of them share it: a board that is some degrees warmer than yesterday.

A group's interval is the bootstrap's: cases are drawn again with replacement, and the spread of the
median ratio is taken with Student's quantile for so many cases. A case's interval joins two spreads: that
of its own raw samples, drawn again in blocks because neighbours in time resemble each other, and that
from run to run, which one run cannot know of itself and the other cases of its group show. The latter is
taken from the cases that moved the other way alone, so that it is no wider where half a group has slowed
down.

What else runs on a machine makes some calls slow and leaves others as fast as ever, so of a single case's
times the fastest tenth must have moved as well as the median.

A failure that the expectations name and trouble on the way (``infra_error``) never count.
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

__all__ = ["Comparison", "Movement", "Turn", "compare"]

FAMILY = 1e-3
"""Chance that a comparison of two runs of the same thing tells of any movement."""


@attrs.frozen
class Turn:
    """A case whose end is another than before.

    Attributes
    ----------
    key : (id, toolkit, board)
    before, after : Outcome
    reason : str
        Why it ends as it does now, or did, if it passes now.
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
        The case's id, empty for the whole group.
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
        """Whether it went the wrong way."""
        return self.change > (0 if self.measure == "labels" else 1)


@attrs.frozen
class Comparison:
    """What `compare` found.

    Attributes
    ----------
    before, after : Run
    compared : int
        Cases that both runs tried.
    failing, passing : tuple of Turn
    missing, new : tuple of (id, toolkit, board)
        Cases of one run alone.
    untried : int
        Cases that either run could not try, of those that both have.
    moved : tuple of Movement
    made : tuple of (str, str, str)
        What the runs were made with, where it differs: name, before, after.
    """

    before: Run
    after: Run
    compared: int
    failing: tuple[Turn, ...]
    passing: tuple[Turn, ...]
    missing: tuple[Key, ...]
    new: tuple[Key, ...]
    untried: int
    moved: tuple[Movement, ...]
    made: tuple[tuple[str, str, str], ...]

    @property
    def worse(self) -> tuple[Movement, ...]:
        """The movements that went the wrong way."""
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
        parts = [
            f"{len(found)} {words}"
            for found, words in (
                (self.failing, "newly failing"),
                (self.worse, "moved for the worse"),
                (self.passing, "newly passing"),
                (better, "moved for the better"),
            )
            if found
        ]
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
    turns = [_turn(*pair, time=time) for pair in tried]
    measures = (ERROR, LABELS, TIME) if time else (ERROR, LABELS)
    sound = [pair for pair in tried if not any(result.outcome.is_failure for result in pair)]
    return Comparison(
        before=before,
        after=after,
        compared=len(tried),
        failing=tuple(turn for turn, fails in turns if turn is not None and fails),
        passing=tuple(turn for turn, fails in turns if turn is not None and not fails),
        missing=tuple(key for key in old if key not in new),
        new=tuple(key for key in new if key not in old),
        untried=len(both) - len(tried),
        moved=tuple(_movements(sound, measures, before, after)),
        made=tuple(_made(before.manifest, after.manifest)),
    )


OF_TIME = ("batch_latency", "latency_baseline")


def _turn(before: CaseResult, after: CaseResult, *, time: bool) -> tuple[Turn | None, bool]:
    """Return how a case turned, if it did, and whether for the worse."""
    old, new = (
        [name for name in failed_properties(result) if time or name not in OF_TIME]
        for result in (before, after)
    )
    failed, fails = before.outcome.is_failure or bool(old), after.outcome.is_failure or bool(new)
    fresh = tuple(name for name in new if name not in old)
    refused = before.outcome is Outcome.PASS and not failed and after.outcome is Outcome.UNSUPPORTED
    if ((fresh or (fails and not failed)) and not after.expected) or refused:
        reason = " ".join([after.properties[name] for name in fresh] or [after.reason])
        return Turn(after.key, before.outcome, after.outcome, reason, fresh), True
    if failed and after.outcome is Outcome.PASS and not fails:
        reason = " ".join([before.properties[name] for name in old] or [before.reason])
        return Turn(after.key, before.outcome, after.outcome, reason), False
    return None, False


def _movements(
    pairs: Sequence[tuple[CaseResult, CaseResult]], measures: Sequence[Measure], before: Run, after: Run
) -> Iterable[Movement]:
    groups: dict[tuple[str, str, str], list[tuple[CaseResult, CaseResult]]] = {}
    for old, new in pairs:
        groups.setdefault((new.board, new.case.toolkit, new.case.precision), []).append((old, new))
    tests = [
        (measure, place, found)
        for measure in measures
        for place, group in groups.items()
        if (found := _differences(measure, group))
    ]
    # Half of the chance goes to groups, half to cases; each test has two directions.
    per_group = FAMILY / 4 / max(len(tests), 1)
    per_case = FAMILY / 4 / max(sum(len(found) for _, _, found in tests), 1)
    random = np.random.default_rng(0)
    for measure, place, found in tests:
        values = np.array([value for value, _, _ in found])
        middle, half = _typical(values, per_group, random, mean=measure is LABELS)
        shifted = abs(middle) >= measure.group and abs(middle) > half
        if shifted:
            yield _told(measure, place, "", len(found), middle, half)
        # What its whole group did is not a case's own movement. Where half of it moved the middle is not
        # typical.
        common = middle if shifted else max(-measure.group, min(middle, measure.group))
        for value, old, new in found:
            own = value - common
            if abs(own) < measure.case or abs(value) < measure.case:
                continue
            if measure is TIME and abs(_fastest(old, new, before, after, value) - common) < measure.case:
                continue
            if measure is LABELS:
                half = _label_half(old, new, per_case)
            else:
                spread = _between_runs(values - common, own, measure.floor)
                inside = _within_runs(old, new, before, after, random) if measure is TIME else 0.0
                half = float(stats.norm.isf(per_case)) * math.hypot(spread, inside)
            if abs(own) > half:
                yield _told(measure, place, new.case.id, 1, value, half)


def _differences(
    measure: Measure, pairs: Sequence[tuple[CaseResult, CaseResult]]
) -> list[tuple[float, CaseResult, CaseResult]]:
    found = []
    for old, new in pairs:
        first, second = measure.value(old), measure.value(new)
        if measure is TIME and field(old, "rows") != field(new, "rows"):
            continue
        if first is not None and second is not None:
            found.append((second - first, old, new))
    return found


def _typical(
    values: np.ndarray[Any, np.dtype[np.float64]], tail: float, random: np.random.Generator, *, mean: bool
) -> tuple[float, float]:
    """Return a group's typical value and half of its interval; infinite for too few cases to tell."""
    # Labels of most cases do not move at all, and the median would see none that do.
    middle = np.mean if mean else np.median
    if len(values) < 5:
        return float(middle(values)), math.inf
    drawn = values[random.integers(0, len(values), (2000, len(values)))]
    spread = float(np.std(middle(drawn, axis=1)))
    return float(middle(values)), float(stats.t.isf(tail, len(values) - 1)) * spread


def _between_runs(values: np.ndarray[Any, np.dtype[np.float64]], own: float, floor: float) -> float:
    """Return the spread of one case from run to run, from the cases that did not move the way of `own`."""
    others = np.abs(values[np.sign(values) != np.sign(own)])
    # 1.4826 makes the median of the magnitudes a normal distribution's standard deviation.
    return max(floor, 1.4826 * float(np.median(others))) if len(others) else math.inf


def _within_runs(
    old: CaseResult, new: CaseResult, before: Run, after: Run, random: np.random.Generator
) -> float:
    """Return the spread of the logarithm of the ratio of two medians, from the raw samples."""
    return math.hypot(*(_of_median(result, run, random) for result, run in ((old, before), (new, after))))


def _fastest(old: CaseResult, new: CaseResult, before: Run, after: Run, median: float) -> float:
    """Return the logarithm of the ratio of the fastest tenths; without samples that of the medians."""
    first, second = _samples(old, before), _samples(new, after)
    if first is None or second is None:
        return median
    return math.log(np.quantile(second, 0.1) / np.quantile(first, 0.1))


def _samples(result: CaseResult, run: Run) -> np.ndarray[Any, np.dtype[np.float64]] | None:
    """Return a case's raw times, if they were kept and are times."""
    try:
        samples = np.asarray(json.loads((run.path / result.samples).read_text("utf-8"))["npu"], np.float64)
    except (OSError, KeyError, TypeError, ValueError):
        return None
    return samples if samples.ndim == 1 and len(samples) > 8 and (samples > 0).all() else None


def _of_median(result: CaseResult, run: Run, random: np.random.Generator) -> float:
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


def _label_half(old: CaseResult, new: CaseResult, tail: float) -> float:
    """Return how far shares of unequal labels may lie apart by chance.

    Of all labels that are unequal in either run, each belongs to one or the other with the same chance. They
    are of the same rows, which makes them differ by less, so this errs on the quiet side.
    """
    rows = [metrics.rows for metrics in map(last_metrics, (old, new)) if metrics is not None]
    shares = [share for share in map(unequal_labels, (old, new)) if share is not None]
    total = round(sum(share * count for share, count in zip(shares, rows, strict=True)))
    return float(2 * stats.binom.isf(tail, total, 0.5) - total) / min(rows)


def _told(
    measure: Measure, place: tuple[str, str, str], case: str, cases: int, value: float, half: float
) -> Movement:
    ends = (value, value - half, value + half)
    if measure is not LABELS:
        ends = (math.exp(value), math.exp(value - half), math.exp(min(value + half, 700.0)))
    return Movement(measure.name, *place, case, cases, *ends)


_PASSING = ("temperatures", "memory", "npu_load", "cpu")
"""Facts of a board that differ from hour to hour."""


def _made(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterable[tuple[str, str, str]]:
    old, new = dict(_flat(before)), dict(_flat(after))
    for name in sorted({*old, *new}):
        if old.get(name) != new.get(name):
            first, second = ("-" if known.get(name) is None else str(known[name]) for known in (old, new))
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
            if name not in _PASSING:
                yield f"board {board}: {name}", value
