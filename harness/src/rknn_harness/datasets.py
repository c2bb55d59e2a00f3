"""Real data sets with a network fitted to each: those that scikit-learn carries, and three made by a formula.

Nothing is fetched. Networks are regularised, as good ones are: float16 stores an output of 16 to 1/64, so a
network that shouts cannot give probabilities to 2e-3 in it, however right the NPU is. Features are
standardised outside the network; targets are as they are, so that a regressor's output has its real size.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np
from sklearn import datasets as bundled
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

__all__ = ["DATASETS", "Dataset", "Fitted", "fitted"]

Table = tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]


@attrs.frozen
class Dataset:
    """A data set and the network that is fitted to it.

    Attributes
    ----------
    name : str
    load : callable
        Returns X of shape (n, n_features) and y.
    estimator : callable
        Returns the unfitted estimator.
    """

    name: str
    load: Callable[[], Table]
    estimator: Callable[[], Any]


@attrs.frozen(eq=False)
class Fitted:
    """A fitted estimator and the standardised rows it was fitted to, which are also those it is judged on."""

    dataset: Dataset
    estimator: Any
    X: np.ndarray[Any, np.dtype[np.float64]]
    y: np.ndarray[Any, Any]


def _bundled(name: str, *, named: bool = False) -> Callable[[], Table]:
    def load() -> Table:
        bunch = getattr(bundled, f"load_{name}")()
        return bunch.data, bunch.target_names[bunch.target] if named else bunch.target

    return load


def _friedman1() -> Table:
    X, y = bundled.make_friedman1(n_samples=600, noise=0.5, random_state=0)
    return X, y


def _sine() -> Table:
    X = np.linspace(-np.pi, np.pi, 400)[:, None]
    return X, np.sin(X[:, 0])


def _xor() -> Table:
    X = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    return X, (X[:, 0] > 0) != (X[:, 1] > 0)


def _classifier(hidden: tuple[int, ...], activation: str, **options: Any) -> Callable[[], MLPClassifier]:
    return functools.partial(
        MLPClassifier, hidden, activation=activation, random_state=0, **{"max_iter": 300, **options}
    )


def _regressor(hidden: tuple[int, ...], activation: str, **options: Any) -> Callable[[], MLPRegressor]:
    return functools.partial(
        MLPRegressor,
        hidden_layer_sizes=hidden,
        activation=activation,
        random_state=0,
        **{"max_iter": 300, "solver": "lbfgs", **options},
    )


_ALL = (
    Dataset("iris", _bundled("iris", named=True), _classifier((16,), "relu", solver="lbfgs", alpha=0.1)),
    Dataset("wine", _bundled("wine", named=True), _classifier((32,), "logistic", solver="lbfgs", alpha=1e-2)),
    Dataset("digits", _bundled("digits"), _classifier((64, 32), "relu", max_iter=40, alpha=1.0)),
    Dataset(
        "breast_cancer", _bundled("breast_cancer", named=True), _classifier((50, 50), "tanh", max_iter=60)
    ),
    Dataset("diabetes", _bundled("diabetes"), _regressor((64, 64), "relu", alpha=1.0, max_iter=100)),
    Dataset("linnerud", _bundled("linnerud"), _regressor((8,), "identity", alpha=1.0)),
    Dataset("friedman1", _friedman1, _regressor((100,), "tanh", alpha=1e-2, max_iter=150)),
    Dataset("sine", _sine, _regressor((32, 32), "tanh", alpha=1e-4, max_iter=500)),
    Dataset("xor", _xor, _classifier((16, 16), "relu", alpha=0.1, max_iter=100, learning_rate_init=3e-3)),
)

DATASETS: Mapping[str, Dataset] = MappingProxyType({dataset.name: dataset for dataset in _ALL})
"""Every data set by its name."""


@functools.cache
def fitted(name: str) -> Fitted:
    """Load a data set and fit its estimator, once in a process.

    Raises
    ------
    KeyError
        There is no such data set; see `DATASETS`.
    """
    dataset = DATASETS[name]
    X, y = dataset.load()
    X = StandardScaler().fit_transform(np.asarray(X, np.float64))
    estimator = dataset.estimator()
    # One thread: sums in one order whatever the machine, and small matrices gain nothing from more.
    with warnings.catch_warnings(), threadpool_limits(1):
        # A network stopped early is as good a test as another.
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X, y)
    return Fitted(dataset, estimator, X, y)
