"""Which cases of a run have their file built a second time, for `digest_reproducible`."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from rknn_harness.records.entry import Entry
from scirknn.files import sha256_of_bytes

AT_LEAST = 4
"""Cases of each toolkit and precision that are drawn whatever the share; all where there are no more."""


def draw_second_builds(plan: Sequence[Entry], seed: int, share: float) -> tuple[Entry, ...]:
    """Draw the cases of a plan whose files are built a second time.

    A case's number between 0 and 1 depends on the seed and its id alone: so a draw is the same on every
    machine, in every order, for every toolkit and on every board. A resumed run has it from its plan.

    Parameters
    ----------
    plan : sequence of Entry
        All that the run tries.
    seed : int
    share : float
        Of the cases: those whose number is smaller are drawn, and of each toolkit and precision the
        `AT_LEAST` with the smallest. A user's own models are always drawn. 0: none is.
    """
    numbers = {entry.case.id: _number(seed, entry.case.id) for entry in plan}
    ids: dict[tuple[str, str], set[str]] = {}
    for entry in plan:
        ids.setdefault((entry.case.toolkit, entry.case.precision), set()).add(entry.case.id)
    smallest = {group: sorted(ids[group], key=numbers.__getitem__)[:AT_LEAST] for group in ids}

    def is_drawn(entry: Entry) -> bool:
        case = entry.case
        in_share = case.kind == "own" or numbers[case.id] < share
        return share > 0 and (in_share or case.id in smallest[case.toolkit, case.precision])

    return tuple(
        attrs.evolve(entry, case=attrs.evolve(entry.case, second_build=is_drawn(entry))) for entry in plan
    )


def _number(seed: int, name: str) -> float:
    return int(sha256_of_bytes(f"{seed} {name}".encode())[:12], 16) / 16**12
