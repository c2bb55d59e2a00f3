"""Networks of quadratic forms: ``u = (x - m) P`` of each form on the NPU, squares and sums on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np

from scirknn.arrays import Floats
from scirknn.steps.squares import Squares
from sklearn2rknn.estimators.dense import Answers, dense_network
from sklearn2rknn.estimators.fitted import fitted_numbers
from sklearn2rknn.estimators.registry import Form
from sklearn2rknn.network.network import Network

_LAYER = "one dense layer of (x - mean) P; squares and sums on the host"

QUADRATIC = Form(
    _LAYER,
    precisions=("float16", "int16"),
    worth="8 million products a call (rows times components times features squared)",
)
DIAGONAL = Form(
    _LAYER,
    precisions=("float16", "int16"),
    worth="never: numpy takes rows times classes times features products, the layer features times as many",
)


@attrs.frozen(eq=False)
class QuadraticForms:
    """Scores ``c_k + f * |(x - m_k) P_k|^2``.

    Attributes
    ----------
    centres : numpy.ndarray, shape (k, n_features)
    maps : sequence of numpy.ndarray, each of shape (n_features, any)
    constants : numpy.ndarray, shape (k,)
    factor : float
    """

    centres: Floats
    maps: Sequence[Floats]
    constants: Floats
    factor: float = -0.5


def quadratic_network(estimator: Any, forms: QuadraticForms, answers: Answers) -> Network:
    """Return the network whose values are the scores."""
    name = type(estimator).__name__
    constants = fitted_numbers(f"{name}'s constants", forms.constants, 1)
    weights = np.hstack([np.asarray(each, np.float64) for each in forms.maps])
    bias = -np.concatenate(
        [np.asarray(m, np.float64) @ each for m, each in zip(forms.centres, forms.maps, strict=True)]
    )
    weights = fitted_numbers(f"{name}'s scaled features", weights, 2)
    network = dense_network(estimator, weights, fitted_numbers(f"{name}'s scaled means", bias, 1), answers)
    squares = Squares(
        groups=tuple(int(each.shape[1]) for each in forms.maps),
        constants=tuple(constants.tolist()),
        factor=forms.factor,
    )
    return attrs.evolve(network, epilogue=(squares,))
