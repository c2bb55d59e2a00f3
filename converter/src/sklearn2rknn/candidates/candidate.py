"""A precision that a model was tried in, and which of several is to be taken."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import attrs

from sklearn2rknn.checking.check_result import CheckResult


@attrs.frozen(kw_only=True)
class Candidate:
    """What a conversion in one precision came to.

    Attributes
    ----------
    name : {"float16", "float16 pairs", "int16", "int8"}
    precision, accuracy : str
        Arguments of `convert` and `ConversionOptions` that make it.
    refusal : str
        Why there is no such file; empty where there is one, and what follows is known.
    size : int
        Bytes of the model files.
    check : CheckResult
        On rows that the files were not built from.
    estimate : tuple of two floats, or None
        Seconds of one call with the first file, least and most; never a measurement.
    falls_short : str
        Which limit of float16's promise it does not keep; empty where it keeps all.
    """

    name: str
    precision: str
    accuracy: str
    refusal: str = ""
    size: int = 0
    check: CheckResult = attrs.Factory(CheckResult)
    estimate: tuple[float, float] | None = None
    falls_short: str = ""

    @property
    def keeps_promise(self) -> bool:
        """Whether there is a file and it keeps the promise."""
        return not self.refusal and not self.falls_short

    @property
    def wrong(self) -> float:
        """Share of labels that differ from scikit-learn's, or what R2 lacks of 1, or the largest error."""
        deciding = self.check.deciding
        if deciding is None:
            return math.inf
        for value in (deciding.labels, deciding.r2):
            if value is not None:
                return 1.0 - value
        return deciding.max_error

    @property
    def costs(self) -> tuple[float, float, float]:
        """What is to be small: seconds of a call (0 where no estimate is), bytes, what is wrong."""
        return (self.estimate or (0.0, 0.0))[1], float(self.size), self.wrong

    def to_json(self, *, is_on_front: bool) -> dict[str, Any]:
        """Return it for a JSON document."""
        document: dict[str, Any] = {
            "name": self.name,
            "precision": self.precision,
            "accuracy": self.accuracy,
            "pareto": is_on_front,
        }
        if self.refusal:
            return {**document, "refusal": self.refusal}
        estimate = None if self.estimate is None else list(self.estimate)
        document |= {"size": self.size, "estimate": estimate, "check": self.check.to_json()}
        return {**document, "keeps_promise": self.keeps_promise, "falls_short": self.falls_short}


def pareto_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return those that no other is as good as in time, size and exactness and better in one of them."""
    files = [each for each in candidates if not each.refusal]
    return [each for each in files if not any(_is_better(other, each) for other in files)]


def choose(candidates: Sequence[Candidate]) -> Candidate | None:
    """Return the fastest that keeps float16's promise, the smaller of equals; else the most exact.

    None where every one was refused.
    """
    files = [each for each in candidates if not each.refusal]
    good = [each for each in files if each.keeps_promise]
    if good:
        return min(good, key=lambda each: each.costs)
    return min(files, key=lambda each: each.costs[::-1], default=None)


def _is_better(one: Candidate, other: Candidate) -> bool:
    pairs = list(zip(one.costs, other.costs, strict=True))
    return all(a <= b for a, b in pairs) and any(a < b for a, b in pairs)
