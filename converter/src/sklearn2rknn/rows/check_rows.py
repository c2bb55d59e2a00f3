"""The rows that a built file is checked on."""

from __future__ import annotations

import attrs
import numpy as np

from scirknn.arrays import Floats
from scirknn.steps.kernels import LabelShares
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.ranges import Ranges

ROW_LIMIT = 512
"""Rows of the example input that a check runs."""

WEIGHT_LIMIT = 250_000_000
"""Weights that the runs of a check may pass over in all: a second or two."""

NARROW = 6.0
"""Ranges narrower than this are sampled uniformly, because standard normal numbers would fall outside."""

FEWEST_RUNS = 8
SEED = 0

SAME_ROW = 1e-6
"""An exponent nearer to 0 than this is that of a row which the model weighs itself."""


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
    def held_out(self) -> int:
        """How many of the rows the file was not built from."""
        return len(self.rows) if self.source in ("check_input", "held_out") else 0


def choose_rows(
    network: Network,
    rows: Floats | None,
    batch_size: int,
    own: Floats | None = None,
    source: str = "held_out",
) -> CheckInput:
    """Return the rows to check: fewer for a large network that takes few in a run.

    `rows` are those that the file is built from; `own` are others, from `source`. Without any, rows are
    drawn. Those that label propagation weighs itself are moved.
    """
    weights = sum(layer.weights.size for layer in network.layers)
    limit = min(ROW_LIMIT, batch_size * max(FEWEST_RUNS, WEIGHT_LIMIT // weights))
    if own is not None:
        alike = own if rows is None else np.vstack([own, take_evenly(rows, ROW_LIMIT)])
        return CheckInput(_off_kept_rows(network, take_evenly(own, limit)), source, alike)
    if rows is not None:
        chosen = _off_kept_rows(network, take_evenly(rows, limit))
        return CheckInput(chosen, "example_input", take_evenly(rows, ROW_LIMIT))
    random = np.random.default_rng(SEED).standard_normal((limit, len(network.layers[0].weights)))
    if network.input_ranges is not None:
        random = _move_into(random, network.input_ranges)
    return CheckInput(random, "random", random)


def take_evenly(rows: Floats, count: int) -> Floats:
    """Return rows from everywhere, since a data set is often sorted by its labels."""
    chosen = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return np.asarray(rows[chosen])


def _off_kept_rows(network: Network, rows: Floats) -> Floats:
    """Move rows that a model weighs itself: at one, its own weight of nearly 1 hides what all others err by.

    They are moved towards another, to where that one weighs 1 / e of their own. Norms among the columns are
    moved like the rest: all exponents are lower by the same then, on which shares do not depend.
    """
    if not any(isinstance(each, LabelShares) for each in network.epilogue[:1]):
        return rows
    exponents = network.forward(rows)
    nearest = exponents.argmax(axis=1)
    apart = -exponents[np.arange(len(rows)), np.roll(nearest, 1)]
    share = np.where(exponents.max(axis=1) > -SAME_ROW, 0.5 - 0.5 / np.maximum(apart, 1.0), 0.0)
    return np.asarray(rows + share[:, None] * (np.roll(rows, 1, axis=0) - rows))


def _move_into(random: Floats, ranges: Ranges) -> Floats:
    """Move normal numbers into the known ranges; fill those that are narrow."""
    width = np.where(ranges.known, ranges.high - ranges.low, np.inf)
    narrow = width < NARROW
    spread = ranges.low + np.where(narrow, width, 1.0) * (0.5 + 0.5 * np.tanh(random))
    return np.where(narrow, spread, np.clip(random, ranges.low, ranges.high))
