"""Networks of kernels: exponents or products of all stored rows on the NPU, their functions on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from scirknn.arrays import Floats
from scirknn.bundle import Affine
from scirknn.steps.kernels import Kernel
from scirknn.steps.norms import SquaredNorms, UnitRows
from scirknn.steps.step import Step
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.dense import Answers, dense_network
from sklearn2rknn.estimators.fitted import finite_number
from sklearn2rknn.estimators.registry import Form
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network

KERNELS = Form(
    "exponents or products with the stored rows in one layer; functions and sums on the host",
    precisions=("float16", "int16"),
    worth="8 million products a call (rows times stored rows times features)",
)
"""The family's line in the support table."""

_KERNELS = ("linear", "poly", "polynomial", "rbf", "sigmoid", "cosine")


@attrs.frozen
class PairwiseKernel:
    """A kernel of `sklearn.metrics.pairwise` or libsvm.

    Attributes
    ----------
    name : {"linear", "poly", "rbf", "sigmoid", "cosine"}
    gamma, coef0, degree : float
        Those that the kernel has no use for are not looked at.
    """

    name: str
    gamma: float
    coef0: float
    degree: float


@attrs.frozen(eq=False)
class Exponent:
    """A function of distances: of ``z = -sum(rates * (x - s)^2)``; or a product ``x @ s``.

    Attributes
    ----------
    function, parameter : str, float
        Of `scirknn.steps.kernels.Kernel`; ``"linear"`` is the product.
    rates : numpy.ndarray of float64, shape (n_features,)
        Of the product 0.
    factor : float
        The result is multiplied by it.
    """

    function: str
    parameter: float
    rates: Floats
    factor: float = 1.0


def pairwise_kernel(name: str, kernel: Any, parameters: dict[str, Any]) -> PairwiseKernel:
    """Return a kernel that can be converted, or refuse it (UnsupportedModelError).

    Parameters
    ----------
    name : str
        The estimator's, for the texts.
    kernel : object
        Its parameter ``kernel``.
    parameters : dict
        ``gamma``, ``coef0`` and ``degree`` as numbers.
    """
    if callable(kernel):
        raise UnsupportedModelError(
            f"{name}'s kernel is a Python function, which no file can hold. Fit with one of the kernels "
            "'linear', 'poly', 'rbf' and 'sigmoid'."
        )
    if kernel == "precomputed":
        raise UnsupportedModelError(
            f"{name} with kernel='precomputed' takes a row's kernel with every fitted row, not its features. "
            "Fit on the features with one of the kernels 'linear', 'poly', 'rbf' and 'sigmoid'."
        )
    if kernel not in _KERNELS:
        raise UnsupportedModelError(
            f"{name} with kernel={kernel!r:.60} is no function of products or euclidean distances of rows. "
            "Fit with one of the kernels 'linear', 'poly', 'rbf' and 'sigmoid'."
        )
    numbers = {key: finite_number(name, key, value) for key, value in parameters.items()}
    degree = numbers["degree"]
    if kernel.startswith("poly") and not (degree == int(degree) and 0 <= degree <= 64):
        raise UnsupportedModelError(
            f"{name} has a polynomial kernel of degree {degree:g}; integers up to 64 can be converted. "
            "Fit with degree=3."
        )
    return PairwiseKernel("poly" if kernel == "polynomial" else kernel, **numbers)


def kernel_network(
    estimator: Any, kernel: PairwiseKernel, points: Floats, mixture: tuple[Floats, Floats], answers: Answers
) -> Network:
    """Return the network of ``kernel(X, points) @ weights + bias``.

    Parameters
    ----------
    estimator : object
    kernel : PairwiseKernel
    points : numpy.ndarray, shape (n_points, n_features)
    mixture : tuple of numpy.ndarray
        Weights, shape (n_points, n_values), and bias, shape (n_values,).
    answers : Answers
    """
    points, weights, bias = (np.asarray(each, np.float64) for each in (points, *mixture))
    if len(weights) != len(points) or bias.shape != weights.shape[1:]:
        raise UnsupportedModelError(
            f"{type(estimator).__name__} has {len(points)} stored rows and coefficients of shape "
            f"{weights.shape} for them. They were changed after fit; fit again."
        )
    if kernel.name == "rbf" and len(points):
        rates = np.full(points.shape[1], kernel.gamma)
        epilogue: tuple[Step, ...] = (Kernel(("rbf",), (0.0,), weights, bias),)
        return exponent_network(estimator, [Exponent("rbf", 0.0, rates)], points, epilogue, answers)
    if kernel.name == "linear" or not len(points):
        return dense_network(estimator, points.T @ weights, bias, answers)
    if kernel.name == "cosine":
        network = dense_network(estimator, UnitRows().apply(points).T @ weights, bias, answers)
        return attrs.evolve(network, features=(UnitRows(),), features_in=points.shape[1])
    products = dense_network(estimator, kernel.gamma * points.T, np.full(len(points), kernel.coef0), answers)
    if kernel.name == "poly":
        power = Kernel(("power",), (float(kernel.degree),), weights, bias)
        return attrs.evolve(products, epilogue=(power,))
    first = attrs.evolve(products.layers[0], activation="tanh")
    return attrs.evolve(products, layers=(first, Layer(weights, bias, "identity")))


def exponent_network(
    estimator: Any,
    exponents: Sequence[Exponent],
    points: Floats,
    epilogue: tuple[Step, ...],
    answers: Answers,
) -> Network:
    """Return the network of exponents of distances to points, a block of outputs for each of `exponents`.

    The host subtracts the points' mean, which no distance sees, and appends the weighted squares of a row.
    """
    middle = points.mean(axis=0)
    centred = points - middle
    rates = np.stack([each.rates for each in exponents], axis=1)
    weights, bias = [], []
    for place, each in enumerate(exponents):
        norms = np.zeros((len(exponents), len(points)))
        if each.function == "linear":
            weights.append(np.vstack([points.T, norms]))
            bias.append(points @ middle)
        else:
            norms[place] = -1.0
            weights.append(np.vstack([2.0 * (centred * each.rates).T, norms]))
            bias.append(-(centred * centred) @ each.rates)
    network = dense_network(estimator, np.hstack(weights), np.concatenate(bias), answers)
    return attrs.evolve(
        network,
        input=Affine(middle, np.ones_like(middle)),
        features=(SquaredNorms(rates),),
        features_in=len(middle),
        epilogue=epilogue,
    )


def share_distances(networks: Sequence[Network]) -> list[Network]:
    """Return networks of one kernel of distances that subtract the same middle; others as they are.

    Of ``u = x - m`` and another middle ``m - d``, the distances' squares are ``|u|^2 + 2 u.d + |d|^2``, so
    that the layer behind takes what differs.
    """
    first = next((each for each in networks if _has_distances(each)), None)
    return [each if first is None or not _has_distances(each) else _moved(each, first) for each in networks]


def _has_distances(network: Network) -> bool:
    """Whether a network takes its inputs less a middle, and one weighted square of these."""
    rates, middle = _rates(network), network.input
    return rates is not None and middle is not None and bool((middle.scale == 1).all())


def _rates(network: Network) -> Floats | None:
    """Return the weights of the one square that a network takes, None where it takes something else."""
    features = network.features
    if len(features) != 1 or not isinstance(features[0], SquaredNorms) or features[0].weights.shape[1] != 1:
        return None
    return features[0].weights[:, 0]


def _moved(network: Network, to: Network) -> Network:
    """Return a network behind the middle and the squares of another, where the rates are in proportion."""
    own, rates = _rates(network), _rates(to)
    if network.input is None or to.input is None or own is None or rates is None or own.shape != rates.shape:
        return network
    used = rates > 0
    if not used.any():
        return network
    factor = float(own[used][0] / rates[used][0])
    if not np.allclose(own, factor * rates, rtol=1e-14, atol=0.0):
        return network
    layer, move = network.layers[0], to.input.offset - network.input.offset
    plain, square = layer.weights[:-1], layer.weights[-1]
    weights = np.vstack([plain + 2.0 * factor * np.outer(rates * move, square), factor * square])
    bias = layer.bias + move @ plain + factor * float(rates @ (move * move)) * square
    layers = (Layer(weights, bias, layer.activation), *network.layers[1:])
    return attrs.evolve(network, input=to.input, features=to.features, layers=layers)
