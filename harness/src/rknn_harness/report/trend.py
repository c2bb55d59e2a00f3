"""How pass rate, agreement, error and time went over many runs, by board, toolkit and precision."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence

import attrs

from rknn_harness.records.case import Key
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import Outcome
from rknn_harness.records.query import field
from rknn_harness.records.run_folder import Run
from rknn_harness.report.links import run_names

__all__ = ["Place", "Point", "Trend", "trend"]

Place = tuple[str, str, str]
"""Board, toolkit, precision."""


@attrs.frozen
class Point:
    """One run at one place.

    Attributes
    ----------
    run : str
    place : (board, toolkit, precision)
    cases : int
        Cases that were tried.
    pass_rate : float or None
        Of those, the share that passed or was refused with a reason. Expected failures count as failures
        here.
    agreement, error, seconds : float or None
        Mean share of equal labels, median error and median time of a call, over the cases that all runs of
        the place have, so that other random networks do not look like change.
    """

    run: str
    place: Place
    cases: int
    pass_rate: float | None
    agreement: float | None
    error: float | None
    seconds: float | None


@attrs.frozen
class Trend:
    """Many runs.

    Attributes
    ----------
    runs : tuple of Run
        From the oldest on.
    names : tuple of str
        Of each run, its folder's name with as many folders above as distinguish it.
    points : mapping of place to tuple of Point or None
        One entry a run; None where the run was not at that place.
    common : mapping of place to int
        Cases that all runs of the place have.
    """

    runs: tuple[Run, ...]
    names: tuple[str, ...]
    points: dict[Place, tuple[Point | None, ...]]
    common: dict[Place, int]


def trend(runs: Iterable[Run]) -> Trend:
    """Put runs in order and compute their points."""
    ordered = tuple(sorted(runs, key=lambda run: (str(run.manifest.get("started", "")), run.path.name)))
    tried = [
        [result for result in run.results if result.outcome is not Outcome.INFRA_ERROR] for run in ordered
    ]
    names = run_names([run.path for run in ordered])
    points, common = {}, {}
    for place in sorted({_place(result) for results in tried for result in results}):
        here = [[result for result in results if _place(result) == place] for results in tried]
        shared = set.intersection(*({result.key for result in results} for results in here if results))
        common[place] = len(shared)
        points[place] = tuple(
            _point(name, place, results, shared) if results else None
            for name, results in zip(names, here, strict=True)
        )
    return Trend(ordered, tuple(names), points, common)


def _place(result: CaseResult) -> Place:
    return result.board, result.case.toolkit, result.case.precision


def _point(run: str, place: Place, results: Sequence[CaseResult], shared: set[Key]) -> Point:
    def values_of(name: str) -> list[float]:
        values = (field(result, name) for result in results if result.key in shared)
        return [value for value in values if value is not None]

    agreement, error, seconds = values_of("agreement"), values_of("error"), values_of("p50")
    return Point(
        run=run,
        place=place,
        cases=len(results),
        pass_rate=sum(not result.is_failure for result in results) / len(results),
        agreement=statistics.fmean(agreement) if agreement else None,
        error=statistics.median(error) if error else None,
        seconds=statistics.median(seconds) if seconds else None,
    )
