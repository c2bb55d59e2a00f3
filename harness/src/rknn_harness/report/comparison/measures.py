"""The numbers that are compared, and how far each must move to matter."""

from __future__ import annotations

import math
from collections.abc import Callable

import attrs

from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.query import field


@attrs.frozen
class Measure:
    """A number that is compared.

    Attributes
    ----------
    name : str
    group, case : float
        Least movement of a group, and of one case, that is reported: natural logarithm of a ratio, or a
        difference of shares for labels.
    spread : float
        Of one case from run to run, as far as a group does not show its own [assumed].
    value : callable
        The number of one result, the larger the worse, on the scale on which it is compared.
    """

    name: str
    group: float
    case: float
    spread: float
    value: Callable[[CaseResult], float | None]


def _log_error(result: CaseResult) -> float | None:
    error = field(result, "error")
    # Below float32's own rounding there is no accuracy to compare.
    return None if error is None else math.log(max(error, 2.0**-24))


def _log_time(result: CaseResult) -> float | None:
    p50 = field(result, "p50")
    return math.log(p50) if p50 and not result.clocks.get("moved") else None


def unequal_labels(result: CaseResult) -> float | None:
    """Return the share of labels that differ, or None."""
    agreement = field(result, "agreement")
    return None if agreement is None else 1 - agreement


TIME = Measure("time", math.log(1.05), math.log(1.25), 0.05, _log_time)
ERROR = Measure("error", math.log(1.1), math.log(2), 0.05, _log_error)
LABELS = Measure("labels", 0.002, 0.01, 0.0, unequal_labels)
