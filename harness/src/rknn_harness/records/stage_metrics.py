"""What a stage's answer measured beside the reference."""

from __future__ import annotations

import attrs

__all__ = ["StageMetrics"]


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
    """

    rows: int
    output_error: float | None
    output_size: float
    output_share: float | None
    probability_error: float | None
    agreement: float | None
    r2: float | None
    basis: str

    @property
    def relative_error(self) -> float | None:
        """Largest error of the output as a share of its largest magnitude."""
        return None if self.output_error is None else self.output_error / (self.output_size or 1.0)
