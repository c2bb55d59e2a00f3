"""What a stage's answer measured beside the reference, and what it may be."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen
class StageLimits:
    """What one stage was held to; None where a limit does not apply.

    The error bound is derived for each number of each row, and `StageMetrics.output_share` is the largest
    error as a share of it; the others are tolerances that somebody chose.

    Attributes
    ----------
    output : (float, float) or None
        Least and greatest derived bound of the output before the head, in its own units.
    probability : float or None
        Largest error of a probability.
    margin : float or None
        Labels must be equal where the top two probabilities differ by more.
    agreement : float or None
        Least share of equal labels, near ties counted as equal.
    r2 : float or None
        Least R2 of the predictions.
    """

    output: tuple[float, float] | None = None
    probability: float | None = None
    margin: float | None = None
    agreement: float | None = None
    r2: float | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> StageLimits:
        """Read what `attrs.asdict` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is not such a document.
        """
        output = document["output"]
        low, high = output or (0.0, 0.0)
        return cls(**{**document, "output": None if output is None else (low, high)})


@attrs.frozen
class StageMetrics:
    """How far one stage lies from scikit-learn; None where a number does not apply or is not finite.

    Attributes
    ----------
    rows : int
    output_error : float or None
        Largest error of the output before the head, in its own units.
    output_size : float
        Largest magnitude of scikit-learn's output before the head.
    output_share : float or None
        Largest error as a share of its derived bound; above 1 it is a mismatch.
    probability_error : float or None
    agreement : float or None
        Share of rows with equal labels, of those that the file was not built from.
    r2 : float or None
        On the same rows.
    basis : str
        Where the limits came from.
    limits : StageLimits or None
        What they are; None in records of before.
    """

    rows: int
    output_error: float | None
    output_size: float
    output_share: float | None
    probability_error: float | None
    agreement: float | None
    r2: float | None
    basis: str
    limits: StageLimits | None = None

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> StageMetrics:
        """Read what `attrs.asdict` wrote, in records of before without limits.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is not such a document.
        """
        limits = document.get("limits")
        return cls(**{**document, "limits": None if limits is None else StageLimits.from_json(limits)})

    @property
    def tolerance_share(self) -> float | None:
        """How much of its chosen tolerances an answer takes: the largest share; above 1 it is a mismatch.

        A probability's error as a share of the largest one that is allowed, and what R2 lacks of 1 as a share
        of what it may lack. None where neither is held to a tolerance, or none was recorded.
        """
        limits = self.limits
        if limits is None:
            return None
        shares = []
        if limits.probability and self.probability_error is not None:
            shares.append(self.probability_error / limits.probability)
        if limits.r2 is not None and limits.r2 < 1 and self.r2 is not None:
            shares.append((1 - self.r2) / (1 - limits.r2))
        return max(shares, default=None)

    @property
    def allowed_share(self) -> float | None:
        """How much of what it may be an answer is: the larger share of derived bound and tolerances."""
        shares = (self.output_share, self.tolerance_share)
        return max((share for share in shares if share is not None), default=None)

    @property
    def relative_error(self) -> float | None:
        """Largest error of the output as a share of its largest magnitude."""
        return None if self.output_error is None else self.output_error / (self.output_size or 1.0)
