"""The rows that a built file is checked on."""

from __future__ import annotations

import attrs
import numpy as np

from sklearn2rknn.network.network import Network
from sklearn2rknn.network.ranges import Floats, Spans

__all__ = ["ROW_LIMIT", "CheckInput", "choose_rows"]

ROW_LIMIT = 512
"""Rows of the example input that a check runs."""

WEIGHT_LIMIT = 250_000_000
"""Weights that the runs of a check may pass over in all: a second or two."""

NARROW = 6.0
"""Width of a range up to which normal numbers would not stay within."""

FEWEST_RUNS = 8
SEED = 0


@attrs.frozen(eq=False)
class CheckInput:
    """The rows that a check runs.

    Attributes
    ----------
    rows : numpy.ndarray of float64, shape (n, n_features_in)
    source : {"check_input", "held_out", "example_input", "random"}
        Rows that the file was not built from, given or held out; those that it was built from; or random
        ones: standard normal, of a fixed seed, and within the ranges that are known otherwise.
    alike : numpy.ndarray of float64, shape (m, n_features_in)
        Rows of the same kind, these among them, that the file is not run on.
    """

    rows: Floats
    source: str
    alike: Floats

    @property
    def own(self) -> int:
        """How many of the rows the file was not built from."""
        return len(self.rows) if self.source in ("check_input", "held_out") else 0


def choose_rows(
    network: Network, rows: Floats | None, samples: int, own: Floats | None = None, source: str = "held_out"
) -> CheckInput:
    """Return the rows to check: fewer for a large network that takes few in a run.

    Parameters
    ----------
    network : Network
    rows : numpy.ndarray or None
        The rows that the file is built from.
    samples : int
        Rows of a run.
    own : numpy.ndarray or None
        Rows that it is not built from, and `source`, where they are from.
    """
    weights = sum(layer.weights.size for layer in network.layers)
    limit = min(ROW_LIMIT, samples * max(FEWEST_RUNS, WEIGHT_LIMIT // weights))
    if own is not None:
        alike = own if rows is None else np.vstack([own, take_evenly(rows, ROW_LIMIT)])
        return CheckInput(take_evenly(own, limit), source, alike)
    if rows is not None:
        return CheckInput(take_evenly(rows, limit), "example_input", take_evenly(rows, ROW_LIMIT))
    random = np.random.default_rng(SEED).standard_normal((limit, len(network.layers[0].weights)))
    if network.spans is not None:
        random = _within(random, network.spans)
    return CheckInput(random, "random", random)


def take_evenly(rows: Floats, count: int) -> Floats:
    """Return rows from everywhere, since a data set is often sorted by its labels."""
    chosen = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return np.asarray(rows[chosen])


def _within(random: Floats, spans: Spans) -> Floats:
    """Move normal numbers into the ranges that are known, over their whole width where they are narrow."""
    width = np.where(spans.known, spans.high - spans.low, np.inf)
    narrow = width < NARROW
    spread = spans.low + np.where(narrow, width, 1.0) * (0.5 + 0.5 * np.tanh(random))
    return np.where(narrow, spread, np.clip(random, spans.low, spans.high))
