"""A chain of classifiers: each takes the answers of those before it."""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Floats
from scirknn.steps.activations import activate
from scirknn.steps.step import Step, step

ANSWERS = ("label", "probability", "score")
"""What a classifier hands on: 0 or 1, the logistic function of its score, or the score."""


@step("linked")
class Linked(Step):
    """Add to each score what the answers of the scores before it weigh.

    Attributes
    ----------
    weights : numpy.ndarray of float64, shape (columns, columns)
        ``weights[i, j]`` is how score j takes the answer of score i; 0 unless i is before j.
    answer : {"label", "probability", "score"}
    """

    weights: Floats
    answer: str

    def __post_init__(self) -> None:
        shape = self.weights.shape
        if len(shape) != 2 or shape[0] != shape[1] or np.tril(self.weights).any():
            raise self.fault(f"has weights of shape {shape}, or of what is not before")
        self.require_choice("answer", ANSWERS)

    def width(self, columns: int) -> int:
        return self.require_columns(len(self.weights), columns)

    def apply(self, values: Floats) -> Floats:
        scores, answers = values.copy(), np.zeros_like(values)
        for place in range(values.shape[1]):
            scores[:, place] += answers @ self.weights[:, place]
            answers[:, place] = self._answers(scores[:, place])
        return np.asarray(scores)

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error: an answer errs as far as its score may move it."""
        scores, errors, moved = self.apply(values), error.copy(), np.zeros_like(error)
        for place in range(values.shape[1]):
            errors[:, place] += moved @ np.abs(self.weights[:, place])
            here, reach = scores[:, place], errors[:, place]
            ends = self._answers(here + reach), self._answers(here - reach)
            answer = self._answers(here)
            moved[:, place] = np.maximum(ends[0] - answer, answer - ends[1])
        return np.asarray(errors)

    def _answers(self, scores: Floats) -> Floats:
        if self.answer == "label":
            return np.where(scores > 0, 1.0, 0.0)
        return activate("logistic", scores) if self.answer == "probability" else scores
