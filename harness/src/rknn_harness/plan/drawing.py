"""Draw random models with hypothesis, and shrink a failing one."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable

import attrs
import hypothesis
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis.database import DirectoryBasedExampleDatabase, ExampleDatabase, ReadOnlyDatabase
from hypothesis.errors import HypothesisSideeffectWarning

from rknn_harness.models import strategies
from rknn_harness.plan.same_draws import without_local_constants
from rknn_harness.records.case import Case


@attrs.frozen
class Draw:
    """How random models are drawn; equal draws give equal models.

    Attributes
    ----------
    precisions : tuple of str
        Models of families are drawn in those of them that the support table names for each.
    count : int
        At most: equal models count once.
    seed : int
    guard : bool
        False for plain conversions, see `rknn_harness.conformance.unguarded`.
    examples : str
        Folder of hypothesis's examples, in which shrunk failures are drawn first; empty for none.
    families : tuple of str
        Families of other models than networks that are tried too, with the guard.
    family_count : int
        Drawn models of them, at most.
    is_sample : bool
        Whether only the first of each family's models of data sets is tried.
    """

    precisions: tuple[str, ...]
    count: int
    seed: int
    guard: bool = True
    examples: str = ""
    families: tuple[str, ...] = ()
    family_count: int = 0
    is_sample: bool = False


def draw_cases(draw: Draw) -> list[Case]:
    """Draw random models, each once, without a toolkit."""
    cases: dict[str, Case] = {}
    has_kinds = draw.guard and draw.family_count and strategies.kinds_of(draw.families, draw.precisions)
    for of_families, count in ((False, draw.count), (True, draw.family_count if has_kinds else 0)):
        if count:
            phases = [Phase.reuse, Phase.generate]
            _each(draw, of_families, phases, lambda case: cases.setdefault(case.id, case))
    return list(cases.values())


def smallest_case(first: Case, draw: Draw, fails: Callable[[Case], bool]) -> Case:
    """Return the smallest case that still fails.

    Parameters
    ----------
    first : Case
        One that `draw_cases` returned for the same draw, and that fails.
    draw : Draw
    fails : callable
        Called with smaller cases, which have no toolkit. `first` is returned if none of them fails.
    """
    smallest, met = first, False

    class Fails(Exception):
        pass

    def examine(case: Case) -> None:
        nonlocal smallest, met
        # Cases drawn before it pass: hypothesis shall shrink this one.
        met = met or case.id == first.id
        if met and (case.id == first.id or fails(case)):
            smallest = case
            raise Fails

    with contextlib.suppress(Fails):
        _each(draw, first.kind == "family", [Phase.generate, Phase.shrink], examine)
    return smallest


def _each(draw: Draw, of_families: bool, phases: list[Phase], body: Callable[[Case], object]) -> None:
    if of_families:
        kinds = strategies.kinds_of(draw.families, draw.precisions)
        strategy, count = strategies.family_cases(kinds, draw.precisions), draw.family_count
    else:
        strategy, count = strategies.cases(precisions=draw.precisions, guard=draw.guard), draw.count

    @settings(  # outermost: a seed takes the database away
        max_examples=count,
        phases=phases,
        deadline=None,
        database=_database(draw, phases),
        print_blob=False,
        report_multiple_bugs=False,
        verbosity=Verbosity.quiet,
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.seed(draw.seed)
    @given(strategy)
    def each(case: Case) -> None:
        body(case)

    with warnings.catch_warnings(), without_local_constants():
        # pytest is starting, and the plan takes a second.
        warnings.simplefilter("ignore", HypothesisSideeffectWarning)
        each()


def _database(draw: Draw, phases: list[Phase]) -> ExampleDatabase | None:
    if not draw.examples:
        return None
    database = DirectoryBasedExampleDatabase(draw.examples)
    # hypothesis forgets an example that does not fail at once.
    return ReadOnlyDatabase(database) if Phase.reuse in phases else database
