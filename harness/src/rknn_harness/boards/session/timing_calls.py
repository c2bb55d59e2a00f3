"""What a timed model answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

Array = np.ndarray[Any, Any]

__all__ = ["Timed"]


@attrs.frozen(eq=False)
class Timed:
    """Timed calls.

    Attributes
    ----------
    samples : numpy.ndarray of float64, shape (n_samples,)
        Seconds of each call, in order.
    clocks : dict
        What the board's clocks did meanwhile, as `rknn_harness.board_runner.clocks.Watch.told` has it; empty
        where they were not looked at.
    """

    samples: Array
    clocks: dict[str, Any]


def is_clock_record(clocks: Mapping[str, Any]) -> bool:
    """Whether clocks are told as the record of a case has them."""

    def frequencies(value: Any) -> bool:
        return isinstance(value, dict) and all(type(hertz) is int for hertz in value.values())

    warmth = clocks.get("temperature")
    return (
        set(clocks) == {"pinned", "before", "after", "moved", "temperature"}
        and (clocks["pinned"] is None or frequencies(clocks["pinned"]))
        and frequencies(clocks["before"])
        and frequencies(clocks["after"])
        and type(clocks["moved"]) is bool
        and (
            warmth is None
            or (isinstance(warmth, list) and len(warmth) == 2 and all(type(t) is float for t in warmth))
        )
    )
