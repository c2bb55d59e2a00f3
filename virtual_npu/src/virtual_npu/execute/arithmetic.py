"""Whose arithmetic the executor follows, by name."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Final, Literal, cast

Arithmetic = Literal["silicon", "simulator", "fast"]
"""``"silicon"``: what chips were measured to compute. ``"simulator"``: what the vendor's simulator does where
the program leaves it open. ``"fast"``: silicon's, but float16 sums in float32, in BLAS's order."""

ARITHMETICS: Final = ("silicon", "simulator", "fast")


@dataclass(frozen=True, slots=True)
class LookupRules:
    """How a float program looks up where documents leave it open: hypotheses, each can be switched.

    The defaults explain all spikes and bands that are published of RK3588, to the count of 97 in 4,001
    points of an ELU, 98 without rounding. [silicon: github.com/gregordinary/rockchip-npu-notes,
    encodings/dpu-lut-activation.md at 224b1390, September 2026, on programs with CVT_TYPE 1] The vendor's
    have CVT_TYPE 0. That they are looked up alike is inferred: the TRM gives that bit the order of sum and
    product, which a scale of 1 does not show.

    Attributes
    ----------
    rounds : bool
        The index is rounded to an integer before the lookup, and the result after it [inferred from the
        published bands]; otherwise neither is [assumed, as NVDLA's description has it].
    adds_offset : bool
        OUT_CVT_OFFSET, 1 in the vendor's files, is an integer added to the result [silicon, CVT_TYPE 1];
        otherwise the bits of a float32, nothing [assumed, as other operands of the float pipeline are].
    spikes_at_zero : bool
        A result of exactly 0 comes out as ``2**(17 - MINUS_EXP)`` where MINUS_EXP is not 0 [silicon,
        CVT_TYPE 1: six heights]. No table of the vendor's meets it while the other two hold.
    sides_by_sign : bool
        The input's sign takes the table, not the registers' ranges [silicon, by the text of the same notes;
        their exponential and the vendor's, whose inputs are below 0, speak against it: they look up in LO].
    """

    rounds: bool = True
    adds_offset: bool = True
    spikes_at_zero: bool = True
    sides_by_sign: bool = False


@dataclass(slots=True)
class Rules:
    """What a program is executed by. How tables are looked up can be changed between runs."""

    arithmetic: Arithmetic = "silicon"
    lookups: LookupRules = field(default_factory=LookupRules)


_LINES: Final = LookupRules(rounds=False, adds_offset=False, spikes_at_zero=False)


def rules_of(arithmetic: Arithmetic, lookups: LookupRules | None) -> Rules:
    """Return the rules of an arithmetic; the simulator's looks up straight lines unless asked otherwise."""
    return Rules(arithmetic, lookups or (_LINES if arithmetic == "simulator" else LookupRules()))


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
