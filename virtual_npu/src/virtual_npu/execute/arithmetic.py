"""Whose arithmetic the executor follows, by name."""

from __future__ import annotations

import warnings
from typing import Final, Literal, cast

__all__ = ["ARITHMETICS", "Arithmetic", "arithmetic_of"]

Arithmetic = Literal["silicon", "simulator", "fast"]
"""``"silicon"``: what chips were measured to compute. ``"simulator"``: what the vendor's simulator does where
the program leaves it open. ``"fast"``: silicon's, but float16 sums in float32, in BLAS's order."""

ARITHMETICS: Final = ("silicon", "simulator", "fast")


def arithmetic_of(arithmetic: str, sums: str | None) -> Arithmetic:
    """Return the arithmetic of that name, or that of the option ``sums`` of before.

    Raises
    ------
    ValueError
        There is none of that name.
    """
    if sums is not None:
        arithmetic = "silicon" if sums == "exact" else sums
        warnings.warn(f"sums={sums!r} is now arithmetic={arithmetic!r}.", DeprecationWarning, stacklevel=3)
    if arithmetic not in ARITHMETICS:
        raise ValueError(f"arithmetic is one of {', '.join(ARITHMETICS)}, not {arithmetic!r}")
    return cast(Arithmetic, arithmetic)
