"""The plan of a run, made before the first case, so that a broken run can be resumed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

import attrs

from rknn_harness.models.datasets import DATASETS
from rknn_harness.models.family import families
from rknn_harness.plan.drawing import Draw, draw_cases
from rknn_harness.records.case import PRECISIONS, Case, Key, dataset_case, family_case
from rknn_harness.records.entry import Entry
from sklearn2rknn.toolkit.pins.versions import toolkit_version

_SIZES = ((1,), (7,), (1, 64), (1024,))
"""Rows per run, beside the usual 64, that one data set is tried in."""

_CHUNK = 6
"""Cases that a worker takes at once: few enough that all workers end at about the same time."""


def make_plan(
    *,
    toolkits: Sequence[str],
    boards: Sequence[str],
    draw: Draw | None,
    corpus: Sequence[Case] = (),
    own: Sequence[Case] = (),
) -> tuple[Entry, ...]:
    """Cross every case with the toolkits that have its precision, and with the boards.

    Parameters
    ----------
    toolkits : sequence of str
        Versions.
    boards : sequence of str
        Names.
    draw : Draw or None
        Of the random networks; those of a precision that a toolkit lacks are left out for it. Without the
        guard nothing else is tried. None: only the user's own models are tried.
    corpus : sequence of Case
        Earlier failures; those with another guard than the draw's, or of other precisions, are left out.
    own : sequence of Case
        The user's own models. One with a toolkit is converted already, and tried with that alone.

    Returns
    -------
    tuple of Entry
        The user's own models first, the corpus, the fixed ones, those of families, then what was drawn,
        toolkit by toolkit and board by board.
    """
    others = [] if draw is None else _cases(draw, corpus)
    entries = [
        Entry(attrs.evolve(case, toolkit=toolkit), board)
        for board in boards
        for toolkit in toolkits
        for case in (*own, *others)
        if case.precision in toolkit_version(toolkit).config
        and (case.kind != "own" or case.toolkit in ("", toolkit))
    ]
    return tuple(entries)


def _cases(draw: Draw, corpus: Sequence[Case]) -> list[Case]:
    cases = draw_cases(draw)
    if draw.guard:
        cases[:0] = [*_fixed_cases(draw.precisions), *_family_cases(draw)]
    kept = [
        case
        for case in corpus
        if case.precision in draw.precisions and draw.guard != (("guard", "off") in case.options)
    ]
    ids = {case.id for case in kept}
    return [*kept, *(case for case in cases if case.id not in ids)]


def known_ids(draw: Draw, corpus: Sequence[Case]) -> set[str]:
    """Return the ids that a list of expectations may name: whatever the precisions, and this run's own."""
    cases = [*_fixed_cases(PRECISIONS), *_family_cases(draw), *draw_cases(draw)]
    return {case.id for case in (*cases, *corpus)}


def _fixed_cases(precisions: Sequence[str]) -> list[Case]:
    wanted = [(name, (64,)) for name in DATASETS] + [("iris", size) for size in _SIZES]
    return [dataset_case(name, precision, "", size) for name, size in wanted for precision in precisions]


def _family_cases(draw: Draw) -> list[Case]:
    """Return the families' models of data sets, in float16."""
    if "float16" not in draw.precisions:
        return []
    of_families = [families()[name].fixed for name in draw.families]
    return [
        family_case(spec, "float16", "", (64,))
        for fixed in of_families
        for spec in (fixed[:1] if draw.is_sample else fixed)
    ]


def groups(entries: Sequence[Entry], alone: Sequence[str]) -> Mapping[Key, str]:
    """Return the group of each entry, which one worker takes together.

    Parameters
    ----------
    entries : sequence of Entry
    alone : sequence of str
        Boards of which there is one: all its entries go to one worker. Of the built-in virtual board each
        worker has its own, and its entries are cut into portions by toolkit.

    Returns
    -------
    mapping of Key to str
    """
    count: dict[tuple[str, str], int] = defaultdict(int)
    names = {}
    for entry in entries:
        pair = entry.board, entry.case.toolkit
        portion = "-".join((*pair, str(count[pair] // _CHUNK)))
        names[entry.key] = entry.board if entry.board in alone else portion
        count[pair] += 1
    return names
