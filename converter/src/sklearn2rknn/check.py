"""Compare what a built file computes with the network it was built from."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt

from sklearn2rknn.network import Floats, Network
from sklearn2rknn.spans import Spans

__all__ = ["ROW_LIMIT", "Agreement", "CheckInput", "agreement", "check_input"]

ROW_LIMIT = 512
"""Rows of the example input that a check runs."""

WEIGHT_LIMIT = 250_000_000
"""Weights that the runs of a check may pass over in all: a second or two."""

TIE = 0.01
"""Two classes whose probabilities are nearer than this are a tie: rounding may decide it."""

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
    source : {"example_input", "random"}
        Random rows are standard normal, of a fixed seed, and within the ranges that are known otherwise.
    """

    rows: Floats
    source: str


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
    clear_labels : float or None
        The same as `labels` among those away from ties; None where there is none.
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

    def to_json(self) -> dict[str, float]:
        """Return what is known, as JSON takes it."""
        return {name: value for name, value in attrs.asdict(self).items() if value is not None}


def check_input(network: Network, example_input: Floats | None, samples: int) -> CheckInput:
    """Return rows of the example input, or random ones: fewer for a large network that takes few in a run."""
    weights = sum(layer.weights.size for layer in network.layers)
    rows = min(ROW_LIMIT, samples * max(FEWEST_RUNS, WEIGHT_LIMIT // weights))
    if example_input is not None:
        # Spread over the whole, since a data set is often sorted by its labels.
        chosen = np.linspace(0, len(example_input) - 1, min(rows, len(example_input))).round().astype(int)
        return CheckInput(example_input[chosen], "example_input")
    random = np.random.default_rng(SEED).standard_normal((rows, len(network.layers[0].weights)))
    if network.spans is not None:
        random = _within(random, network.spans)
    return CheckInput(random, "random")


def _within(random: Floats, spans: Spans) -> Floats:
    """Move normal numbers into the ranges that are known, over their whole width where they are narrow."""
    width = np.where(spans.known, spans.high - spans.low, np.inf)
    narrow = width < NARROW
    spread = spans.low + np.where(narrow, width, 1.0) * (0.5 + 0.5 * np.tanh(random))
    return np.where(narrow, spread, np.clip(random, spans.low, spans.high))


def agreement(
    network: Network, outputs: npt.ArrayLike, reference: Floats, *, behind_head: bool = False
) -> Agreement:
    """Compare `outputs` with `reference`, both before the head and of shape (n, n_outputs).

    With `behind_head` the outputs are what the head gave, and errors are those of probabilities.
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
        clear = _away_from_ties(network, reference).reshape(equal.shape)
        share = float(np.mean(equal[clear])) if clear.any() else None
        return Agreement(max_error, float(difference), float(np.mean(equal)), None, share)
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


def _away_from_ties(network: Network, reference: Floats) -> npt.NDArray[np.bool_]:
    probabilities = _probabilities(network, reference)
    if network.head == "softmax":
        top = np.sort(probabilities, axis=1)[:, -2:]
        return np.asarray(top[:, -1] - top[:, 0] > TIE if top.shape[1] > 1 else np.ones(len(top), bool))
    return np.asarray(np.abs(2 * probabilities - 1) > TIE)


def _probabilities(network: Network, outputs: Floats) -> Floats:
    if network.head == "softmax":
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * outputs)))  # the logistic function, without overflow
