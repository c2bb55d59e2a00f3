"""Draw random networks with hypothesis, and make a failing one smaller."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings

from rknn_harness.case import Case
from rknn_harness.strategies import cases

__all__ = ["draw_cases", "smallest_case"]


def draw_cases(precisions: Sequence[str], count: int, seed: int) -> list[Case]:
    """Draw random networks; the same arguments draw the same.

    Returns
    -------
    list of Case
        At most `count`, each once, without a toolkit.
    """
    found: dict[str, Case] = {}

    def keep(case: Case) -> None:
        found.setdefault(case.id, case)

    _each(precisions, count, seed, [Phase.generate], keep)
    return list(found.values())


def smallest_case(
    first: Case, precisions: Sequence[str], count: int, seed: int, fails: Callable[[Case], bool]
) -> Case:
    """Make a drawn case smaller as long as it fails.

    Parameters
    ----------
    first : Case
        One that `draw_cases` returned for the same arguments, and that fails.
    precisions, count, seed
        As for `draw_cases`.
    fails : callable
        Asked of smaller cases, which have no toolkit.

    Returns
    -------
    Case
        The smallest that fails, `first` itself if no smaller one does.
    """
    smallest, met = first, False

    class Fails(Exception):
        pass

    def examine(case: Case) -> None:
        nonlocal smallest, met
        # What was drawn before it is passed over: hypothesis shall shrink this one.
        met = met or case.id == first.id
        if met and (case.id == first.id or fails(case)):
            smallest = case
            raise Fails

    with contextlib.suppress(Fails):
        _each(precisions, count, seed, [Phase.generate, Phase.shrink], examine)
    return smallest


def _each(
    precisions: Sequence[str], count: int, seed: int, phases: list[Phase], body: Callable[[Case], Any]
) -> None:
    @hypothesis.seed(seed)
    @settings(
        max_examples=count,
        phases=phases,
        deadline=None,
        database=None,
        print_blob=False,
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    @given(cases(precisions=tuple(precisions)))
    def draw(case: Case) -> None:
        body(case)

    draw()
