"""Fitted perceptrons of every kind, quickly."""

from __future__ import annotations

import warnings
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from sklearn2rknn import network_from_estimator
from sklearn2rknn.network.network import Network

ACTIVATIONS = ("identity", "logistic", "tanh", "relu")
KINDS = ("softmax", "binary", "multilabel", "one output", "several outputs", "poisson")
LABELS = (
    np.array(["setosa", "versicolor", "virginica"]),
    np.array(["a", "b", "c"], dtype=object),
    np.array([-1, 4, 7]),
    np.array([1.0, 2.0, 3.0]),
)


def fit(
    kind: str,
    *,
    n_features: int = 3,
    hidden: tuple[int, ...] = (5,),
    activation: str = "relu",
    seed: int = 0,
    labels: npt.NDArray[Any] = LABELS[0],
    dtype: Any = np.float64,
    max_iter: int = 3,
) -> tuple[Any, npt.NDArray[Any]]:
    """Return a perceptron that was trained for a moment, and its X of 40 rows."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((40, n_features)).astype(dtype)
    options: dict[str, Any] = {
        "hidden_layer_sizes": hidden, "activation": activation, "max_iter": max_iter, "random_state": seed
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        if kind == "softmax":
            return MLPClassifier(**options).fit(X, labels[np.arange(40) % 3]), X
        if kind == "binary":
            return MLPClassifier(**options).fit(X, labels[np.arange(40) % 2]), X
        if kind == "multilabel":
            return MLPClassifier(**options).fit(X, rng.integers(0, 2, (40, 3))), X
        if kind == "poisson":
            return MLPRegressor(loss="poisson", **options).fit(X, rng.poisson(2.0, 40)), X
        y = rng.standard_normal(40 if kind == "one output" else (40, 3))
        return MLPRegressor(**options).fit(X, y), X


@st.composite
def fitted(draw: st.DrawFn, *, kinds: tuple[str, ...] = KINDS) -> tuple[Any, npt.NDArray[Any]]:
    """Draw a perceptron of any kind, and its X."""
    return fit(
        draw(st.sampled_from(kinds)),
        n_features=draw(st.integers(1, 17)),
        hidden=tuple(draw(st.lists(st.integers(1, 9), max_size=4))),
        activation=draw(st.sampled_from(ACTIVATIONS)),
        seed=draw(st.integers(0, 2**16)),
        labels=draw(st.sampled_from(LABELS)),
    )


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[Network, npt.NDArray[Any]]:
    """Draw a network whose hidden layers have any activation but the identity, each its own, and its X."""
    estimator, X = draw(fitted())
    network = network_from_estimator(estimator)
    hidden = tuple(
        attrs.evolve(layer, activation=draw(st.sampled_from(["tanh", "logistic", "relu"])))
        for layer in network.layers[:-1]
    )
    return attrs.evolve(network, layers=(*hidden, network.layers[-1])), X
