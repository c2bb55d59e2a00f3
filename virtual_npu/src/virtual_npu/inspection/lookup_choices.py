"""How far the choices that documents leave open of lookups part for one file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from virtual_npu.execute.arithmetic import LookupRules
from virtual_npu.execute.virtual_npu import VirtualNpu

_CHOICES: Final[Mapping[str, LookupRules]] = {
    "index and result not rounded": LookupRules(rounds=False),
    "offset of no effect": LookupRules(adds_offset=False, spikes_at_zero=False),
    "offset of no effect, spikes at 0": LookupRules(adds_offset=False),
    "table by the sign of the input": LookupRules(sides_by_sign=True),
}


def lookup_choices(npu: VirtualNpu, x: npt.ArrayLike, points: int = 64) -> dict[str, float]:
    """Return the largest difference in outputs that each other reading of lookups makes.

    Parameters
    ----------
    npu : VirtualNpu
    x : array_like
        An input in the model's shape.
    points : int
        How many points of the run, such as rows of a batch, are compared, from its first on.

    Returns
    -------
    dict of str to float
        By what is read otherwise than by default, see `LookupRules`; empty where no float program looks up.

    Raises
    ------
    InputError
        `x` has another shape or is not numeric.
    """
    if not npu.looks_up:
        return {}
    own = npu.lookup_rules

    def outputs(rules: LookupRules) -> npt.NDArray[np.float32]:
        npu.lookup_rules = rules
        return npu.first_points(x, points)

    try:
        usual = outputs(LookupRules())
        apart = {name: np.abs(outputs(rules) - usual) for name, rules in _CHOICES.items()}
    finally:
        npu.lookup_rules = own
    return {name: float(np.where(np.isnan(each), np.inf, each).max()) for name, each in apart.items()}
