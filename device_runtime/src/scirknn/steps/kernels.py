"""Kernels: functions of the network's exponents or products, and what is summed of them.

Of a kernel of distances the network computes the exponent ``z = -|x - s|^2 / (2 l^2)`` for each stored row s:
one layer, for which the host appends the norms of x to its columns. The formulas are those of Rasmussen and
Williams, Gaussian Processes for Machine Learning, 2006, chapter 4.
"""

from __future__ import annotations

from typing import Callable

import numpy as np

from scirknn.arrays import Floats
from scirknn.steps.chances import ends_of_shares
from scirknn.steps.step import Monotonic, Step, step


def _distance(z: Floats) -> Floats:
    """Return ``|x - s| / l`` of exponents, which round above 0 where x is s."""
    return np.asarray(np.sqrt(np.maximum(-2.0 * z, 0.0)))


def _matern(z: Floats, nu: float) -> Floats:
    root = np.sqrt(2.0 * nu) * _distance(z)
    factor = 1.0 + (root if nu > 0.5 else 0.0) + (root * root / 3.0 if nu > 1.5 else 0.0)
    # Of infinite distances the exponential wins.
    return np.asarray(np.where(np.isinf(root), 0.0, factor * np.exp(-root)))


_FUNCTIONS: dict[str, Callable[[Floats, float], Floats]] = {
    "linear": lambda z, _: z,
    "power": lambda z, degree: z**degree,
    "rbf": lambda z, _: np.exp(np.minimum(z, 0.0)),
    "matern": _matern,
    "rational": lambda z, alpha: (1.0 + np.maximum(-z, 0.0) / alpha) ** -alpha,
}
_PARAMETERS: dict[str, Callable[[float], bool]] = {
    "linear": lambda _: True,
    "power": lambda degree: 0 <= degree <= 64 and degree == int(degree),
    "rbf": lambda _: True,
    "matern": lambda nu: nu in (0.5, 1.5, 2.5),
    "rational": lambda alpha: alpha > 0,
}


@step("kernel")
class Kernel(Step):
    """Apply a function to the values, a block of columns each, and multiply by a matrix: ``f(z) @ W + b``.

    Attributes
    ----------
    functions : tuple of {"linear", "power", "rbf", "matern", "rational"}
        One for each of the equal blocks that the columns fall into.
    parameters : tuple of float
        Of each function: the power, Matern's nu (0.5, 1.5 or 2.5), the rational quadratic's alpha; else 0.
    weights : numpy.ndarray of float64, shape (columns, k)
    bias : numpy.ndarray of float64, shape (k,)
    """

    functions: tuple[str, ...]
    parameters: tuple[float, ...]
    weights: Floats
    bias: Floats

    def __post_init__(self) -> None:
        if self.weights.ndim != 2 or self.bias.shape != self.weights.shape[1:]:
            raise self.fault(f"has shapes {self.weights.shape} and {self.bias.shape}")
        count = len(self.functions)
        if not count or len(self.parameters) != count or len(self.weights) % count:
            raise self.fault(
                f"has {count} functions, {len(self.parameters)} parameters and {len(self.weights)} columns"
            )
        for name, parameter in zip(self.functions, self.parameters):
            if name not in _FUNCTIONS or not _PARAMETERS[name](parameter):
                raise self.fault(f"has the function {name!r:.60} of {parameter!r}")

    def width(self, columns: int) -> int:
        self.require_columns(len(self.weights), columns)
        return len(self.bias)

    def apply(self, values: Floats) -> Floats:
        return np.asarray(self._functions_of(values) @ self.weights + self.bias)

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error by what each function does at both ends; an even power also at 0, its least."""
        here = self._functions_of(values)
        bound = np.maximum(
            np.abs(self._functions_of(values + error) - here),
            np.abs(self._functions_of(values - error) - here),
        )
        bound = np.where(np.abs(values) < error, np.maximum(bound, np.abs(here)), bound)
        return np.asarray(bound @ np.abs(self.weights))

    def _functions_of(self, values: Floats) -> Floats:
        blocks = np.split(values, len(self.functions), axis=1)
        results = [
            _FUNCTIONS[name](block, parameter)
            for name, parameter, block in zip(self.functions, self.parameters, blocks)
        ]
        return results[0] if len(results) == 1 else np.hstack(results)


@step("kernel_logarithm")
class KernelLogarithm(Monotonic):
    """Make a density's logarithm of exponents: ``log(sum_j w_j K(z_j)) + b``, one column.

    Attributes
    ----------
    function : {"gaussian", "exponential"}
        ``K(z)`` is ``exp(z)``, or ``exp(-d)`` of the distance d that z means.
    weights : numpy.ndarray of float64, shape (columns,)
        Positive.
    bias : float
    """

    function: str
    weights: Floats
    bias: float

    def __post_init__(self) -> None:
        self.require_choice("function", ("gaussian", "exponential"))
        if self.weights.ndim != 1 or not (self.weights > 0).all():
            raise self.fault(f"has weights of shape {self.weights.shape} or none")

    def width(self, columns: int) -> int:
        self.require_columns(len(self.weights), columns)
        return 1

    def apply(self, values: Floats) -> Floats:
        exponents = np.minimum(values, 0.0) if self.function == "gaussian" else -_distance(values)
        exponents = exponents + np.log(self.weights)
        most = exponents.max(axis=1, keepdims=True)
        return np.asarray(most + np.log(np.exp(exponents - most).sum(axis=1, keepdims=True)) + self.bias)


@step("label_shares")
class LabelShares(Step):
    """Weigh rows of shares by the exponentials of the values: ``normalized(exp(z) @ D)``.

    Attributes
    ----------
    distributions : numpy.ndarray of float64, shape (columns, n_classes)
        Not negative.
    """

    distributions: Floats

    def __post_init__(self) -> None:
        if self.distributions.ndim != 2 or not (self.distributions >= 0).all():
            raise self.fault(f"has shape {self.distributions.shape} or what is negative")

    def width(self, columns: int) -> int:
        self.require_columns(len(self.distributions), columns)
        return int(self.distributions.shape[1])

    def apply(self, values: Floats) -> Floats:
        most = values.max(axis=1, keepdims=True)
        sums = np.exp(values - most) @ self.distributions
        return np.asarray(sums / sums.sum(axis=1, keepdims=True))

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error: a class's share is largest with its own rows near and all others far."""
        here = self.apply(values)
        most = values.max(axis=1, keepdims=True)
        low, high = (np.exp(values - most + sign * error) @ self.distributions for sign in (-1, 1))
        least, greatest = ends_of_shares(low, high)
        is_known = np.isfinite(error).all(axis=1, keepdims=True)
        return np.where(is_known, np.maximum(greatest - here, here - least), 1.0)


@step("quotients")
class Quotients(Step):
    """Divide the values by the last of them, and add a bias: ``v[:, :k] / v[:, k:] + b``.

    So sums over a kernel's rows come from sums of a softmax's shares, whose last one has the exponent 0.

    Attributes
    ----------
    bias : numpy.ndarray of float64, shape (k,)
    """

    bias: Floats

    def __post_init__(self) -> None:
        if self.bias.ndim != 1 or not len(self.bias):
            raise self.fault(f"has a bias of shape {self.bias.shape}")

    def width(self, columns: int) -> int:
        self.require_columns(len(self.bias) + 1, columns)
        return len(self.bias)

    def apply(self, values: Floats) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(values[:, :-1] / values[:, -1:] + self.bias)

    def carry(self, values: Floats, error: Floats) -> Floats:
        """Bound the error of the quotients; inf where the divisor may be 0."""
        above, below = values[:, :-1], values[:, -1:]
        least = np.abs(below) - error[:, -1:]
        with np.errstate(divide="ignore", invalid="ignore"):
            bound = (error[:, :-1] + np.abs(above / below) * error[:, -1:]) / least
        return np.asarray(np.where(least > 0, bound, np.inf))


@step("cosines")
class Cosines(Step):
    """Return the cosines of the values, in radians, times a factor.

    Attributes
    ----------
    factor : float
        Positive.
    """

    factor: float

    def __post_init__(self) -> None:
        if not self.factor > 0:
            raise self.fault(f"has the factor {self.factor!r}")

    def apply(self, values: Floats) -> Floats:
        return np.asarray(np.cos(values) * self.factor)

    def carry(self, values: Floats, error: Floats) -> Floats:
        return np.minimum(error, 2.0) * self.factor
