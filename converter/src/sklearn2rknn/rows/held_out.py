"""Rows that are held out of a conversion, for the check of its file."""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Floats
from sklearn2rknn.rows.check_rows import ROW_LIMIT
from sklearn2rknn.tolerances import FEWEST_ROWS

SEED = 0


def hold_out(rows: Floats) -> tuple[Floats, Floats | None]:
    """Return the rows to build from, and those held out: a quarter, 32 to 512.

    They are held out only where at least as many remain. One is drawn from each of as many equal stretches,
    with a fixed seed: a table may be sorted by its labels, and its labels may alternate.
    """
    count = min(max(len(rows) // 4, FEWEST_ROWS), ROW_LIMIT)
    if len(rows) < 2 * count:
        return rows, None
    ends = np.arange(count + 1) * len(rows) // count
    chosen = np.random.default_rng(SEED).integers(ends[:-1], ends[1:])
    return np.delete(rows, chosen, axis=0), rows[chosen]
