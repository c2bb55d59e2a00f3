"""The arithmetic of a stage: its roundings, its limits, its activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
import numpy as np

from scirknn.arrays import Floats
from scirknn.bundle import Affine
from sklearn2rknn.network.layer import CLIPPED_TANH, REFINED, SOFTMAX, TANH_PAIRS_ERROR, activate

SUM_UNIT = 2.0**-24  # unit roundoff of the float32 sums

Errors = Mapping[str, tuple[float, float, float]]
# Inside a float16 table: an index rounded to 1 / 5424 (tanh; 9.2e-5) or 1 / 2596 (logistic, less steep;
# 4.8e-5), an offset of 2**-15 and two roundings by half of it (6.1e-5), lines 32 of the index long (4e-6).
# All readings that `virtual_npu.LookupRules` has, but those that spike, lie within 1.6e-4 so.
TABLE_ERRORS: Errors = {
    "tanh": (3.02, 1e-3, 5e-3),
    "logistic": (6.31, 1e-3, 2e-3),
    CLIPPED_TANH: (np.inf, 1.2e-4, 1.2e-4),
}
# onnxruntime's tanh and logistic are rational functions, good to some units of float32.
# A tanh is approximated by clipped tanhs; 2.009 is the sum of their factors.
_FUNCTIONS: Errors = {
    "tanh": (np.inf, 1e-6, 1e-6),
    "logistic": (np.inf, 1e-6, 1e-6),
    CLIPPED_TANH: (np.inf, 1e-6 + TANH_PAIRS_ERROR / 2, 1e-6 + TANH_PAIRS_ERROR / 2),
}
TABLE_EXPONENTIAL = 1.6e-3, 2.0**-13
"""Share and amount that a softmax's exponential in a float16 table errs by.

Of toolkits 2.2.0 to 2.3.2: places 1 / 3276 apart, rounded (1.5e-4 of a value), results in steps of 2**-15,
an offset of one step, 0.9988 for exp(0), and nothing below exp(-10). 1.4e-3 and 2**-14 hold for every float16
from -20 to 0; the rest is for lookups that round otherwise [register programs].
"""

SOFTMAX_PADDING = 32
"""Channels at most that fill a softmax up; each counts like one far away."""

_EXACT: Errors = {"tanh": (np.inf, 1e-15, 1e-15), "logistic": (np.inf, 1e-15, 1e-15)}


@attrs.frozen
class Arithmetic:
    """A floating-point format that a network is stored in.

    Attributes
    ----------
    unit : float
        Unit roundoff.
    tiny : float
        Half the smallest subnormal.
    largest : float
        Largest finite number; an entry that may pass it has no bound (inf).
    functions : mapping of str to (float, float, float)
        How tanh and logistic err: the end of the range that is computed well, the error in it and beyond.
    sum : float
        Unit roundoff of sums.
    products : int
        Stored products per real product: 3 with float16 pairs.
    exponential : tuple of float
        Share and amount that a softmax's exponential errs by.
    has_events : bool
        Whether sums are the RK3588's of float16, some of which are low by `largest_event`.
    """

    unit: float
    tiny: float
    largest: float
    functions: Errors
    sum: float = SUM_UNIT
    products: int = 1
    exponential: tuple[float, float] = (1e-15, 0.0)
    has_events: bool = False


# Numbers go from float64 through float32 into float16, so a second, smaller rounding is added to the unit.
FLOAT16 = Arithmetic(
    2.0**-11 * (1 + 2.0**-10), 2.0**-25, 65504.0, TABLE_ERRORS, exponential=TABLE_EXPONENTIAL, has_events=True
)
DOUBLE = attrs.evolve(FLOAT16, unit=2.0**-19, tiny=2.0**-24, products=3)
"""A float16 pair for each value."""
FLOAT32 = Arithmetic(
    2.0**-24, 2.0**-150, float(np.finfo(np.float32).max), _FUNCTIONS, exponential=(1e-6, 2.0**-126)
)
FLOAT64 = Arithmetic(2.0**-53, 0.0, float(np.finfo(np.float64).max), _EXACT, sum=2.0**-53)
FOLDED = attrs.evolve(FLOAT64, unit=2.0**-51, sum=2.0**-51)
"""A network whose numbers were computed from others in float64, with some roundings each."""


def stored_error(value: Floats, error: Floats, target: Arithmetic) -> Floats:
    """Return an error with the rounding of storing added."""
    return error + target.unit * (np.abs(value) + error) + target.tiny


def largest_event(sizes: Floats, weights: Floats) -> Floats:
    """Bound what an event on lane 0 takes from a float16 sum: 2^(4 C - 44).

    C is the largest sum of coarse exponents of a feature and its weight; a coarse exponent is
    max(e, 1) >> 2, e the biased exponent. [silicon: github.com/gregordinary/rockchip-npu-notes,
    chips/rk3588.md at 224b1390, September 2026] Here it is that of the row's largest feature and the unit's
    largest weight, on every output: the toolkit may have cut a layer.

    Parameters
    ----------
    sizes, weights : numpy.ndarray, shapes (n, n_in) and (n_in, n_out)
        The largest magnitudes that are possible.

    Returns
    -------
    numpy.ndarray, shape (n, n_out)
    """
    features, kernels = sizes.max(axis=1, initial=0), weights.max(axis=0, initial=0)
    coarse = [np.clip(np.frexp(each)[1] + 14, 1, 31) >> 2 for each in (features, kernels)]
    events = np.ldexp(1.0, 4 * (coarse[0][:, None] + coarse[1]) - 44)
    return np.where((features[:, None] > 0) & (kernels > 0), events, 0.0)


def activate_with_error(
    activation: str, z: Floats, error: Floats, target: Arithmetic
) -> tuple[Floats, Floats]:
    """Return an activation's values and their error before they are stored."""
    if activation == REFINED:
        return _refined(z, error, target)
    if activation == SOFTMAX:
        return _shares(z, error, target)
    value = activate(activation, z)
    spread = error if activation == "identity" else error_through(lambda z: activate(activation, z), z, error)
    if activation in target.functions:
        end, inside, outside = target.functions[activation]
        spread = spread + np.where(np.abs(z) + error <= end, inside, outside)
    return value, spread


def _refined(z: Floats, error: Floats, target: Arithmetic) -> tuple[Floats, Floats]:
    """Return ``t / (1 + t**2)`` of ``t = tanh(z)``, and its error before it is stored."""
    t = np.tanh(z)
    _, reach = activate_with_error("tanh", z, error, target)
    reach = stored_error(t, reach, target)
    value = t / (1 + t**2)
    low, high = (np.clip(each, -1.0, 1.0) for each in (t - reach, t + reach))
    spread = np.maximum(high / (1 + high**2) - value, value - low / (1 + low**2))
    # The square errs by u of itself, at most half of the sum; the sum by u.
    return value, spread + (1.5 * target.unit + target.tiny) * (np.abs(value) + spread) + target.tiny


def _shares(z: Floats, error: Floats, target: Arithmetic) -> tuple[Floats, Floats]:
    """Return the shares of a softmax and their error before they are stored.

    The largest number is subtracted and the difference stored, then its exponential, their sum, the quotient.
    Exponentials count in the unit of the exact largest one: `slack` is how far the subtracted number may be
    from the exact largest.
    """
    largest = z.max(axis=1, keepdims=True)
    highest, lowest = ((z + sign * error).max(axis=1, keepdims=True) for sign in (1, -1))
    slack = np.maximum(highest - largest, largest - lowest)
    exact = np.exp(z - largest)
    share, amount = target.exponential
    unit, tiny = target.unit, target.tiny
    moved = error + unit * (largest - z + slack + error) + tiny
    grown = (np.expm1(moved) * (1 + share) + share) * (1 + unit) + unit
    errors = exact * grown + (amount * (1 + unit) + tiny) * np.exp(slack)
    count, total = z.shape[1] + SOFTMAX_PADDING, exact.sum(axis=1, keepdims=True)
    # Each channel of the sum is a product with 1; it is stored twice.
    missed = errors.sum(axis=1, keepdims=True) + SOFTMAX_PADDING * amount * np.exp(slack)
    rounding = count * target.sum + 2 * unit
    missed = missed + rounding * (total + missed) + 2 * tiny
    if target.has_events:
        missed = missed + largest_event(np.ones((1, 1)), np.ones((1, 1)))
    value, least = exact / total, total - missed
    return value, np.asarray(np.where(least > 0, (errors + value * missed) / least, 1.0))


def error_through(function: Callable[[Floats], Floats], z: Floats, error: Floats) -> Floats:
    """Return the error of a rising function's result for an error of its argument."""
    here = function(z)
    return np.maximum(function(z + error) - here, here - function(z - error))


def host_input(X: Floats, before: Affine | None, host: float) -> tuple[Floats, Floats]:
    """Return the network's input and what the host's arithmetic adds to its error."""
    if before is None:
        return X, SUM_UNIT * np.abs(X)
    value = (X - before.offset) * before.scale
    size = (np.abs(X) + np.abs(before.offset)) * np.abs(before.scale)
    return value, 3 * host * size + (SUM_UNIT * np.abs(value) if host < SUM_UNIT else 0.0)


def host_output(value: Floats, error: Floats, after: Affine | None, host: float) -> Floats:
    """Return an output's error after the host's affine map."""
    if after is None:
        return error + 2 * host * np.abs(value)
    size = np.abs(value) + error + np.abs(after.offset)
    return (error + 3 * host * size) * np.abs(after.scale)
