"""Make the suite's fixed models anew: ``python -m tests.harness.models.recipes [NAME ...]``.

A recipe is the rows, the hyperparameters and the seed of one model. The fitted weights are data of the
package (`rknn_harness.models.datasets` reads them), since a fit differs from one processor to the next. They
are made anew only where a recipe changes.

Hyperparameters are ordinary: no network is regularised so that a tolerance holds. The last four are hard on
purpose: nothing stops their weights from growing.
"""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import attrs
import numpy as np
from sklearn import datasets as bundled
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from rknn_harness.models.datasets import FOLDER, ModelFile, fitted
from scirknn.arrays import Array

__all__ = ["RECIPES", "Recipe", "main", "make"]


@attrs.frozen
class Recipe:
    """How one fixed model is made.

    Attributes
    ----------
    load : callable
        Returns X of shape (n, n_features) as it comes, and y.
    estimator : type
        MLPClassifier or MLPRegressor.
    parameters : mapping
        Hyperparameters that differ from scikit-learn's, the seed ``random_state`` among them.
    """

    load: Callable[[], tuple[Array, Array]]
    estimator: type
    parameters: Mapping[str, Any]

    def rows(self) -> tuple[Array, Array]:
        """Return standardised X as float32, which a file holds in half the size, and y."""
        X, y = self.load()
        return StandardScaler().fit_transform(np.asarray(X, np.float64)).astype(np.float32), y


def _bundled(name: str) -> Callable[[], tuple[Array, Array]]:
    def load() -> tuple[Array, Array]:
        bunch = getattr(bundled, f"load_{name}")()
        named = "target_names" in bunch and name not in ("digits", "linnerud")
        return bunch.data, bunch.target_names[bunch.target] if named else bunch.target

    return load


def _friedman1() -> tuple[Array, Array]:
    X, y = bundled.make_friedman1(n_samples=600, noise=0.5, random_state=0)
    return X, y


def _sine() -> tuple[Array, Array]:
    X = np.linspace(-np.pi, np.pi, 400)[:, None]
    return X, np.sin(X[:, 0])


def _xor() -> tuple[Array, Array]:
    X = np.random.default_rng(0).uniform(-1, 1, (400, 2))
    return X, (X[:, 0] > 0) != (X[:, 1] > 0)


def _rings() -> tuple[Array, Array]:
    """Return four rings inside each other, 0.1 apart."""
    random = np.random.default_rng(0)
    ring = np.arange(600) % 4
    radius, angle = 0.25 * (ring + 1) + random.uniform(-0.075, 0.075, 600), random.uniform(-np.pi, np.pi, 600)
    return np.column_stack([radius * np.cos(angle), radius * np.sin(angle)]), ring


def _powers() -> tuple[Array, Array]:
    """Return the first eight powers of one number: the condition of their correlations is some 1e11."""
    x = np.random.default_rng(0).uniform(0, 1, 500)
    return x[:, None] ** np.arange(1, 9), np.sin(8 * x)


def _classifier(hidden: tuple[int, ...], activation: str, **others: Any) -> tuple[type, Mapping[str, Any]]:
    fixed = {"hidden_layer_sizes": hidden, "activation": activation, "random_state": 0, "max_iter": 300}
    return MLPClassifier, MappingProxyType({**fixed, **others})


def _regressor(hidden: tuple[int, ...], activation: str, **others: Any) -> tuple[type, Mapping[str, Any]]:
    _, fixed = _classifier(hidden, activation, solver="lbfgs", **others)
    return MLPRegressor, fixed


_FREE = {"solver": "lbfgs", "alpha": 0.0, "max_iter": 1000}
"""Nothing keeps the weights small, and lbfgs goes on until nothing is left to gain."""

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "iris": Recipe(_bundled("iris"), *_classifier((16,), "relu", solver="lbfgs")),
        "wine": Recipe(_bundled("wine"), *_classifier((32,), "logistic", solver="lbfgs")),
        "digits": Recipe(_bundled("digits"), *_classifier((64, 32), "relu", max_iter=40)),
        "breast_cancer": Recipe(_bundled("breast_cancer"), *_classifier((50, 50), "tanh", max_iter=60)),
        "diabetes": Recipe(_bundled("diabetes"), *_regressor((64, 64), "relu", max_iter=100)),
        "linnerud": Recipe(_bundled("linnerud"), *_regressor((8,), "identity")),
        "friedman1": Recipe(_friedman1, *_regressor((100,), "tanh", max_iter=150)),
        "sine": Recipe(_sine, *_regressor((32, 32), "tanh", max_iter=500)),
        "xor": Recipe(_xor, *_classifier((16, 16), "relu", solver="lbfgs")),
        "unregularised": Recipe(_bundled("breast_cancer"), *_classifier((50,), "relu", **_FREE)),
        "steep": Recipe(_rings, *_classifier((32, 32), "relu", **_FREE)),
        "wide_logits": Recipe(_bundled("digits"), *_classifier((32,), "relu", **_FREE)),
        "ill_conditioned": Recipe(_powers, *_regressor((16, 16), "relu", alpha=0.0, max_iter=1000)),
    }
)
"""How each of `rknn_harness.models.datasets.DATASETS` is made."""


def make(recipe: Recipe) -> ModelFile:
    """Fit a recipe's estimator, in one thread, so that sums have one order on one processor."""
    X, y = recipe.rows()
    estimator = recipe.estimator(**recipe.parameters)
    with warnings.catch_warnings(), threadpool_limits(1):
        # A network stopped early is as good a test as another.
        warnings.simplefilter("ignore", ConvergenceWarning)
        estimator.fit(X.astype(np.float64), y)
    document = {
        "estimator": type(estimator).__name__,
        "parameters": dict(recipe.parameters),
        "score": float(estimator.score(X.astype(np.float64), y)),
        "n_iter": int(estimator.n_iter_),
        "loss": float(estimator.loss_),
        "out_activation": str(estimator.out_activation_),
    }
    return ModelFile(document, estimator.coefs_, estimator.intercepts_, X, y)


def write(file: ModelFile, path: Path) -> None:
    """Write a model's file; the same content gives the same bytes."""
    arrays: dict[str, Any] = {f"coef_{index}": array for index, array in enumerate(file.weights)}
    arrays |= {f"intercept_{index}": array for index, array in enumerate(file.intercepts)}
    arrays |= {"X": file.X, "y": file.y, "document": json.dumps(dict(file.document), sort_keys=True)}
    np.savez_compressed(path, **arrays)


def main(names: Sequence[str]) -> None:
    """Make the named models' files anew, or all."""
    for name in names or RECIPES:
        path = Path(str(FOLDER / f"{name}.npz"))
        write(make(RECIPES[name]), path)
        model = fitted.__wrapped__(name)
        sizes = [np.abs(weights).max() for weights in model.estimator.coefs_]
        print(
            json.dumps(
                {
                    "model": name,
                    "bytes": path.stat().st_size,
                    "score": round(model.score, 4),
                    "iterations": model.estimator.n_iter_,
                    "largest weights": [round(float(size), 2) for size in sizes],
                }
            )
        )


if __name__ == "__main__":
    main(sys.argv[1:])
