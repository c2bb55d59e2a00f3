"""Compare what a built file computes with the network it was built from."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from sklearn2rknn.network import Floats, Network
from sklearn2rknn.spans import Spans
from sklearn2rknn.tolerances import are_clear, expected_labels, probability_reach

__all__ = ["ROW_LIMIT", "Agreement", "CheckInput", "agreement", "choose_rows"]

ROW_LIMIT = 512
"""Rows of the example input that a check runs."""

WEIGHT_LIMIT = 250_000_000
"""Weights that the runs of a check may pass over in all: a second or two."""

ERROR_LIMIT = 64
"""Errors that each row's label is tried with."""

NARROW = 6.0
"""Width of a range up to which normal numbers would not stay within."""

LOWEST = -1e9
"""R2 of predictions that are infinite, as JSON has no infinity."""

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


@attrs.frozen
class Agreement:
    """How far outputs are from the reference.

    Attributes
    ----------
    max_error : float
        Largest absolute difference of an output before the head, in the estimator's own units; of a
        probability where the head is on the NPU.
    max_probability_error : float or None
        The same after the head of a classifier.
    probability_reach : float or None
        How far such errors move a probability at a decision (`tolerances.probability_reach`).
    clear_labels : float or None
        The same as `labels` among those away from ties; None where there is none.
    expected_labels : float or None
        The same where each row may meet each error (`tolerances.expected_labels`).
    labels : float or None
        Share of rows (of labels, for multilabel) that get the reference's label; None for a regressor.
    r2 : float or None
        R2 of a regressor's predictions against the reference's, the worst of its outputs; None where the
        reference does not vary.
    """

    max_error: float
    max_probability_error: float | None
    labels: float | None
    r2: float | None
    clear_labels: float | None = None
    expected_labels: float | None = None
    probability_reach: float | None = None

    def to_json(self) -> dict[str, float]:
        """Return what is known, as JSON takes it."""
        return {name: value for name, value in attrs.asdict(self).items() if value is not None}


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
        alike = own if rows is None else np.vstack([own, _spread(rows, ROW_LIMIT)])
        return CheckInput(_spread(own, limit), source, alike)
    if rows is not None:
        return CheckInput(_spread(rows, limit), "example_input", _spread(rows, ROW_LIMIT))
    random = np.random.default_rng(SEED).standard_normal((limit, len(network.layers[0].weights)))
    if network.spans is not None:
        random = _within(random, network.spans)
    return CheckInput(random, "random", random)


def _spread(rows: Floats, count: int) -> Floats:
    """Return rows from everywhere, since a data set is often sorted by its labels."""
    chosen = np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int)
    return np.asarray(rows[chosen])


def _within(random: Floats, spans: Spans) -> Floats:
    """Move normal numbers into the ranges that are known, over their whole width where they are narrow."""
    width = np.where(spans.known, spans.high - spans.low, np.inf)
    narrow = width < NARROW
    spread = spans.low + np.where(narrow, width, 1.0) * (0.5 + 0.5 * np.tanh(random))
    return np.where(narrow, spread, np.clip(random, spans.low, spans.high))


def agreement(
    network: Network,
    outputs: npt.ArrayLike,
    reference: Floats,
    *,
    behind_head: bool = False,
    alike: Floats | None = None,
) -> Agreement:
    """Compare `outputs` with `reference`, both before the head and of shape (n, n_outputs).

    With `behind_head` the outputs are what the head gave, and errors are those of probabilities. `alike` is
    the reference of rows of the same kind, to which the errors are applied; by default these rows.
    """
    outputs = np.asarray(outputs, dtype=np.float64)
    if behind_head:
        probabilities, expected_outputs = outputs, _probabilities(network, reference)
        # What is decided is the same, with a half in place of the 0 before a logistic function.
        got = network.predict(outputs - 0.5 * (network.head == "logistic"))
    else:
        probabilities, expected_outputs = _probabilities(network, outputs), reference
        got = network.predict(outputs)
    max_error = float(np.abs(outputs - expected_outputs).max())
    expected = network.predict(reference)
    if network.task != "regressor":
        difference = np.abs(probabilities - _probabilities(network, reference)).max()
        equal = got == expected
        clear = _are_clear(network, reference).reshape(equal.shape)
        share = float(np.mean(equal[clear])) if clear.any() else None
        found = Agreement(max_error, float(difference), float(np.mean(equal)), None, share)
        if behind_head:
            return found
        errors = outputs - reference
        return attrs.evolve(
            found,
            expected_labels=_expected(network, reference if alike is None else alike, errors),
            probability_reach=probability_reach(reference, errors, one_of_them=network.head == "softmax"),
        )
    with np.errstate(over="ignore", invalid="ignore"):
        # NaN where the mean is infinite.
        spread = ((expected - expected.mean(axis=0)) ** 2).sum(axis=0)
        missed = ((got - expected) ** 2).sum(axis=0)
        # Equal rows may differ by what float64's sums of some thousand products leave.
        least = len(expected) * (2.0**-40 * np.abs(expected).max(axis=0)) ** 2
    varying = (spread > least) & np.isfinite(spread)
    r2 = None
    if varying.any():
        r2 = float(np.nan_to_num(1.0 - missed[varying] / spread[varying], nan=LOWEST).clip(LOWEST).min())
    return Agreement(max_error, None, None, r2)


def _are_clear(network: Network, reference: Floats) -> npt.NDArray[np.bool_]:
    return are_clear(_probabilities(network, reference), one_of_them=network.head == "softmax")


def _expected(network: Network, alike: Floats, errors: Floats) -> float | None:
    clear = _are_clear(network, alike)
    rows = clear if clear.ndim == 1 else clear.any(axis=1)
    if not rows.any():
        return None
    return expected_labels(
        alike[rows],
        _spread(errors, ERROR_LIMIT),
        clear[rows],
        one_of_them=network.head == "softmax",
    )


def _probabilities(network: Network, outputs: Floats) -> Floats:
    if network.head == "softmax":
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * outputs)))  # the logistic function, without overflow
