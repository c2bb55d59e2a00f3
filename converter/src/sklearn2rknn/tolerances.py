r"""What people are promised of a converted model: every tolerance once.

The converter refuses a file that does not keep its promise, and `rknn_harness` fails a case that does not, by
the same numbers. A derived error bound (`checking.file_bound`) holds beside them, for every row. A promise is
about rows that nobody has seen, so a check asks for more: of labels and R2 a part of the promised shortfall,
of an error `SAFETY` times what it measured.

An error *d* of the outputs moves a logistic function by at most :math:`|d|/4`, its steepest slope, and of two
classes of a softmax a quarter of :math:`|d_1| + |d_2|`. A row that is checked may be far from any decision,
where the slope is 0; the next need not be. So errors are judged by their *reach*: what those of the rows
nearest to a decision would do at one. converter/ACCURACY.md has what was measured.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs
import numpy as np
import numpy.typing as npt

from scirknn.arrays import Floats

PROBABILITY = 0.002
"""Error of a probability in float16: a fifth of a percentage point."""

WIDE_PROBABILITY = 0.01
"""The same where float16 pairs do not reach it: behind tanh and logistic, which err by up to 7e-4 a unit, and
where a network asks for more than the 19 bits of a pair. A file says which it is promised."""

MARGIN = 0.005
"""Two classes whose probabilities are nearer than this are a tie: 2.5 times `PROBABILITY`, for both may
err, one up and one down."""

PAIRS_R2 = 0.99999
"""R2 below which "auto" takes float16 pairs: a sixtieth of the promised shortfall, for outputs vary less on
some rows than on others."""

MAX_WEIGHTS_FOR_PAIRS = 250_000
"""Weights beyond which "auto" stays with one number: two would need up to thirty times as many."""

MAX_WEIGHTS_OF_PAIRS = 30 * MAX_WEIGHTS_FOR_PAIRS
"""Weights that "auto" spends on pairs of the outputs: of some thousand outputs their square counts."""

NEAR, FEWEST_NEAR = 1 / 16, 8
"""Share of the rows, and how many at least, that stand for those at a decision."""

SAFETY = 2.0
"""How much larger the error of an unseen row may be than the largest of those measured. Errors are sums of
many roundings, near a normal distribution: the largest of 8 lies near 1.4 deviations, that of 32 near 2."""

FEWEST_ROWS = 32
"""Rows from which on a share of labels or an R2 is counted, and a largest error says something."""

_LABELS = {"float16": 0.995, "int16": 0.995, "int8": 0.98}
"""Share of labels away from ties: int8 has 256 steps for all of a tensor."""

_EXPECTED_LABELS = {"float16": 0.999, "int16": 0.999, "int8": 0.99}
"""The share to expect that a check asks for: a fifth of the promised shortfall, in int8 half of it, which
leaves room for what a few hundred labels scatter by."""

_R2 = {"float16": 0.9994, "int16": 0.9994, "int8": 0.97}
"""R2 of a regressor's worst output: an error with 1/40 of the outputs' deviation, in int8 with 1/6."""


@attrs.frozen
class Promise:
    """What a file of one precision keeps, on rows like those it was converted with.

    Attributes
    ----------
    probability : float or None
        Largest error of a probability; int8 and int16 promise none.
    labels : float
        Share of labels equal to scikit-learn's, ties left out (`checking.comparisons`).
    r2 : float
        R2 of a regressor's worst output against scikit-learn's predictions.
    expected : float
        Share of labels to expect by the errors measured, which a check asks for.
    """

    probability: float | None
    labels: float
    r2: float
    expected: float

    @property
    def margin(self) -> float | None:
        """Labels are equal wherever the two largest probabilities are further apart than this."""
        return None if self.probability is None else self.probability * (MARGIN / PROBABILITY)

    def for_check(self) -> Requirement:
        """Return what a check asks for, so that the promise holds on rows that it does not see."""
        return Requirement(
            self.probability, 1 - 2 * (1 - self.expected), self.expected, 1 - (1 - self.r2) / 2
        )

    def labels_of(self, count: int) -> float:
        """Return the share of `count` labels that are equal: one wrong label is no share yet."""
        return min(self.labels, 1 - 1 / max(count, 2))


@attrs.frozen
class Requirement:
    """What a check asks of a file.

    Attributes
    ----------
    probability : float or None
        As promised: `SAFETY` times the reach of the errors, and each probability, keep it.
    labels : float
        Of the labels seen, with twice the shortfall of those to expect: one wrong label of some ten rows is
        more than a hundredth.
    expected_labels : float
        What `expected_labels` gives.
    r2 : float
        Half of the promised shortfall.
    """

    probability: float | None
    labels: float
    expected_labels: float
    r2: float


def promises(precision: str, activations: Iterable[str] = ()) -> tuple[Promise, ...]:
    """Return what can be promised of a precision, the best first.

    Parameters
    ----------
    precision : {"float16", "int8", "int16"}
    activations : iterable of str
        Of the estimator's layers.
    """
    shares = _LABELS[precision], _R2[precision], _EXPECTED_LABELS[precision]
    if precision != "float16":
        return (Promise(None, *shares),)
    curved = not set(activations) <= {"relu", "identity"}
    tolerances = (WIDE_PROBABILITY,) if curved else (PROBABILITY, WIDE_PROBABILITY)
    return tuple(Promise(probability, *shares) for probability in tolerances)


def probability_reach(values: Floats, errors: Floats, *, head: str, near: float = NEAR) -> float:
    """Return how far errors of this size move a probability of a row at a decision.

    Parameters
    ----------
    values : numpy.ndarray, shape (n, k)
        The reference's, before the output activation.
    errors : numpy.ndarray, shape (n, k)
        Measured, or the derived bound of them.
    head : {"softmax", "logistic", "identity"}
        The output activation; behind ``"identity"`` the values are probabilities, which move as they are.
    near : float
        Share of the rows, the nearest to a decision, that stand for those at one.
    """
    errors = np.abs(errors)
    slope = 1.0 if head == "identity" else 0.25
    if head == "logistic":
        gaps, sizes = np.abs(values).ravel(), errors.ravel()
    elif values.shape[1] == 1:
        return slope * float(errors.max())
    else:
        order = np.argsort(values, axis=1)[:, -2:]
        top = np.take_along_axis(values, order, axis=1)
        two = np.take_along_axis(errors, order, axis=1)
        gaps = top[:, -1] - top[:, 0]
        sizes = two.max(axis=1) if head == "identity" else two.sum(axis=1)
    nearest = np.argsort(gaps, kind="stable")[: max(FEWEST_NEAR, int(near * len(gaps)))]
    return slope * float(sizes[nearest].max())


_BLOCK = 2**16
"""Values that are moved at a time."""


def expected_labels(
    outputs: Floats,
    errors: Floats,
    clear: npt.NDArray[np.bool_],
    *,
    one_of_them: bool,
    threshold: float = 0.0,
) -> float:
    """Return the share of clear labels that stay as they are when any row may meet any error.

    Some ten labels say little of a share near 1. Here every row meets every error, with both signs, which
    says what to expect of other rows, as far as errors do not depend on the row.

    Parameters
    ----------
    outputs : numpy.ndarray, shape (n, k)
        The reference's, before the output activation.
    errors : numpy.ndarray, shape (m, k)
        Measured on some of these rows, or on others.
    clear : numpy.ndarray of bool
        As `checking.comparisons.are_clear` gives it for these rows.
    one_of_them : bool
    threshold : float
        Of a label that stands by itself.

    Returns
    -------
    float
    """
    if one_of_them:
        outputs, clear = outputs[clear], clear[clear]
        top = np.sort(outputs, axis=1)[:, -2:]
        gaps = top[:, -1:] - top[:, :1]
    else:
        gaps = np.abs(outputs - threshold)
    # Errors change a gap by at most two of them: a row with twice that gap keeps its labels, as most do.
    is_near = ~(gaps > 4.0 * np.abs(errors).max()).all(axis=1)

    def labels(outputs: Floats) -> npt.NDArray[np.generic]:
        return outputs.argmax(axis=-1) if one_of_them else outputs > threshold

    outputs, counted, both = outputs[is_near], clear[is_near], np.vstack([errors, -errors])
    expected, blocks = labels(outputs), np.array_split(both, 1 + both.size * len(outputs) // _BLOCK)
    changed = sum(
        np.count_nonzero((labels(outputs + block[:, None]) != expected) & counted) for block in blocks
    )
    return 1.0 - float(changed / (np.count_nonzero(clear) * len(both)))
