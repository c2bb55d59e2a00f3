"""Numbers that moved by more than two runs of the same thing differ by.

Numbers are compared as ratios of the same case on both sides, first over all cases of a board, toolkit and
precision together, then for single cases that stand out from the rest. A movement is reported when its
interval leaves out "no change" and it is large enough to matter (`rknn_harness.report.comparison.measures`):
docs/compare-runs.md derives the intervals.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import attrs
import numpy as np
from scipy import stats

from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.query import field, last_metrics
from rknn_harness.records.reading import READ_ERRORS, read_document
from rknn_harness.records.run_folder import Run
from rknn_harness.report.comparison.measures import LABELS, TIME, Measure, unequal_labels
from scirknn.arrays import Floats

FAMILY = 1e-3
"""Chance that a comparison of two runs of the same thing reports any movement."""

_EFFICIENCY = 0.63
"""Of the magnitude q = 1.2816 that four of five normal numbers keep within, as a measure of their spread:
(1/2) over 0.8 x 0.2 / (q f(q))^2, with the density f of magnitudes."""

_ASSUMED_CASES = 8
"""How many cases the assumed spread of a measure counts for, beside those that a group has."""


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


Difference = tuple[float, CaseResult, CaseResult]
"""A case's difference on the measure's scale, and its results before and after."""


Pair = tuple[CaseResult, CaseResult]
"""A case's results before and after."""


def movements(
    compared: Iterable[tuple[Measure, Sequence[Pair]]], before: Run, after: Run
) -> Iterable[Movement]:
    """Yield the movements of each measure over the pairs that it is compared on.

    Parameters
    ----------
    compared : iterable of (Measure, sequence of pairs)
    before, after : Run
        Whose folders have the raw samples.
    """
    tests = [
        (measure, place, differences)
        for measure, pairs in compared
        for place, group in _groups(pairs).items()
        if (differences := _differences(measure, group))
    ]
    # Half of the chance goes to groups, half to cases; each test has two directions.
    per_group = FAMILY / 4 / max(len(tests), 1)
    per_case = FAMILY / 4 / max(sum(len(differences) for _, _, differences in tests), 1)
    runs = _Runs(before, after, np.random.default_rng(0))
    for measure, place, differences in tests:
        values = np.array([value for value, _, _ in differences])
        typical = _mean(values, per_group, runs.random) if measure is LABELS else _median(values, per_group)
        middle, low, high = typical
        is_shifted = abs(middle) >= measure.group and (low > 0 or high < 0)
        if is_shifted:
            yield _movement(measure, (*place, "", len(values)), typical)
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
                spread, freedom = _between_runs(values - common, own, measure.spread)
                inside = runs.spread_of_medians(difference) if measure is TIME else 0.0
                half = float(stats.t.isf(per_case, freedom)) * math.hypot(spread, inside)
            if abs(own) > half:
                yield _movement(measure, (*place, new.case.id, 1), (value, value - half, value + half))


def _groups(pairs: Iterable[Pair]) -> dict[tuple[str, str, str], list[Pair]]:
    """Return pairs by the board, toolkit and precision after."""
    groups: dict[tuple[str, str, str], list[Pair]] = {}
    for old, new in pairs:
        groups.setdefault((new.board, new.case.toolkit, new.case.precision), []).append((old, new))
    return groups


def _differences(measure: Measure, pairs: Sequence[Pair]) -> list[Difference]:
    differences = []
    for old, new in pairs:
        first, second = measure.value(old), measure.value(new)
        if measure is TIME and field(old, "rows") != field(new, "rows"):
            continue
        if first is not None and second is not None:
            differences.append((second - first, old, new))
    return differences


Interval = tuple[float, float, float]
"""A value, and the ends of its interval."""


def _median(values: Floats, tail: float) -> Interval:
    """Return a group's median with its exact interval, which is infinite for too few cases.

    The number of values below the true median is binomial with one half, whatever they are distributed like:
    the interval ends at the ranks beyond which that number falls with the chance `tail` at each end.
    """
    ordered = np.sort(values)
    rank = int(stats.binom.ppf(tail, len(values), 0.5))  # P(at most rank - 1) < tail
    ends = (float(ordered[rank - 1]), float(ordered[-rank])) if rank else (-math.inf, math.inf)
    return float(np.median(values)), *ends


def _mean(values: Floats, tail: float, random: np.random.Generator) -> Interval:
    """Return a group's mean with its interval, from drawing the cases again with replacement.

    Labels of most cases do not move at all, and the median would see none that do.
    """
    middle = float(np.mean(values))
    if len(values) < 5:
        return middle, -math.inf, math.inf
    drawn = values[random.integers(0, len(values), (2000, len(values)))]
    half = float(stats.t.isf(tail, len(values) - 1)) * float(np.std(np.mean(drawn, axis=1)))
    return middle, middle - half, middle + half


def _between_runs(values: Floats, own: float, assumed: float) -> tuple[float, float]:
    """Return the spread of one case from run to run, and its degrees of freedom.

    It is that of the cases that moved the other way, which are few or none in a small group: so it is at
    least what an assumed one moderates it to (Smyth 2004, doi:10.2202/1544-6115.1027).
    """
    others = np.abs(values[np.sign(values) != np.sign(own)])
    # Four of five numbers of a normal distribution are within 1.2816 standard deviations.
    measured = float(np.quantile(others, 0.8)) / 1.2816 if len(others) else 0.0
    known = _EFFICIENCY * len(others)
    freedom = _ASSUMED_CASES + known
    moderated = math.sqrt((_ASSUMED_CASES * assumed**2 + known * measured**2) / freedom)
    return max(moderated, measured), freedom


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
        samples = np.asarray(read_document(run.path / result.samples)["npu"], np.float64)
    except (OSError, *READ_ERRORS):
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


def _movement(measure: Measure, group: tuple[str, str, str, str, int], interval: Interval) -> Movement:
    value, low, high = interval if measure is LABELS else (math.exp(min(end, 700.0)) for end in interval)
    return Movement(measure.name, *group, value, low, high)
