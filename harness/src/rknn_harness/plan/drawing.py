"""Draw random networks with hypothesis, and make a failing one smaller."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable
from typing import Any

import attrs
import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase, ReadOnlyDatabase
from hypothesis.errors import HypothesisSideeffectWarning

from rknn_harness.models.strategies import cases
from rknn_harness.plan.same_draws import without_local_constants
from rknn_harness.records.case import Case

__all__ = ["Draw", "draw_cases", "smallest_case"]


@attrs.frozen
class Draw:
    """How random networks are drawn; equal draws give equal networks.

    Attributes
    ----------
    precisions : tuple of str
    count : int
        How many at most: what is drawn twice counts once.
    seed : int
    guard : bool
        False for plain conversions, see `rknn_harness.conformance.unguarded`.
    examples : str
        Folder of hypothesis's examples: failures that were made smaller are drawn first, night after night.
        Empty for none.
    """

    precisions: tuple[str, ...]
    count: int
    seed: int
    guard: bool = True
    examples: str = ""


def draw_cases(draw: Draw) -> list[Case]:
    """Draw random networks, each once, without a toolkit."""
    found: dict[str, Case] = {}

    def keep(case: Case) -> None:
        found.setdefault(case.id, case)

    if draw.count:
        _each(draw, [Phase.reuse, Phase.generate], keep)
    return list(found.values())


def smallest_case(first: Case, draw: Draw, fails: Callable[[Case], bool]) -> Case:
    """Make a drawn case smaller as long as it fails.

    Parameters
    ----------
    first : Case
        One that `draw_cases` returned for the same draw, and that fails.
    draw : Draw
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
        _each(draw, [Phase.generate, Phase.shrink], examine)
    return smallest


def _each(draw: Draw, phases: list[Phase], body: Callable[[Case], Any]) -> None:
    @settings(  # outermost: a seed takes the database away
        max_examples=draw.count,
        phases=phases,
        deadline=None,
        database=_database(draw, phases),
        print_blob=False,
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.seed(draw.seed)
    @given(cases(precisions=draw.precisions, guard=draw.guard))
    def each(case: Case) -> None:
        body(case)

    with warnings.catch_warnings(), without_local_constants():
        # pytest is starting; that the plan takes a second then is known.
        warnings.simplefilter("ignore", HypothesisSideeffectWarning)
        each()


def _database(draw: Draw, phases: list[Phase]) -> ExampleDatabase | None:
    if not draw.examples:
        return None
    found = DirectoryBasedExampleDatabase(draw.examples)
    # What is drawn again and does not fail at once would be forgotten.
    return ReadOnlyDatabase(found) if Phase.reuse in phases else found
