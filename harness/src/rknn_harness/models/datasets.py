"""The suite's fixed models: a fitted network and its rows each, as files of this package.

The weights are data, so that every machine judges the same networks; tests/harness/models/recipes.py makes
them. A file is ``weights/NAME.npz``: ``coef_0`` ..., ``intercept_0`` ..., the rows ``X`` and ``y``, and
``document``, JSON with the estimator's class, its hyperparameters and the score that it reached. Features are
standardised outside the network; targets are not, so that a regressor's output has its real size.
"""

from __future__ import annotations

import functools
import importlib.resources
import json
from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import LabelBinarizer

from scirknn.arrays import Array, Floats

DATASETS = (
    "iris", "wine", "digits", "breast_cancer", "diabetes", "linnerud", "friedman1", "sine", "xor",
    "unregularised", "steep", "wide_logits", "ill_conditioned",
)  # fmt: skip
"""Every fixed model by its name."""

REFUSED = frozenset({("diabetes", "int8")})
"""Models and precisions that the converter rightly refuses: of the diabetes regressor int8 keeps R2 0.97."""

FOLDER = importlib.resources.files("rknn_harness.models") / "weights"

_ESTIMATORS = {each.__name__: each for each in (MLPClassifier, MLPRegressor)}


@attrs.frozen(eq=False)
class Fitted:
    """A fitted estimator, the rows that it was fitted to, and the score that it reached on them.

    Attributes
    ----------
    name : str
    estimator : MLPClassifier or MLPRegressor
    X : numpy.ndarray of float64, shape (n, n_features)
    y : numpy.ndarray
    score : float
        Accuracy or R2, recorded when the model was made.
    """

    name: str
    estimator: Any
    X: Floats
    y: Array
    score: float


@attrs.frozen(eq=False)
class ModelFile:
    """The contents of a file.

    Attributes
    ----------
    document : mapping
        ``estimator``, ``parameters``, ``score``, ``n_iter``, ``loss``, ``out_activation``.
    weights : sequence of numpy.ndarray of float64
    intercepts : sequence of numpy.ndarray of float64
    X : numpy.ndarray of float32, shape (n, n_features)
    y : numpy.ndarray
    """

    document: Mapping[str, Any]
    weights: list[Array]
    intercepts: list[Array]
    X: Array
    y: Array

    @classmethod
    def read(cls, name: str) -> ModelFile:
        """Read a model's file.

        Raises
        ------
        KeyError
            There is no such model; see `DATASETS`.
        """
        if name not in DATASETS:
            raise KeyError(name)
        with (FOLDER / f"{name}.npz").open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            layers = range(sum(key.startswith("coef_") for key in arrays))
            return cls(
                json.loads(str(arrays["document"])),
                [arrays[f"coef_{index}"] for index in layers],
                [arrays[f"intercept_{index}"] for index in layers],
                arrays["X"],
                arrays["y"],
            )

    def estimator(self) -> Any:
        """Return the estimator with every attribute that its methods after ``fit`` use."""
        parameters = dict(self.document["parameters"])
        parameters["hidden_layer_sizes"] = tuple(parameters["hidden_layer_sizes"])
        estimator = _ESTIMATORS[self.document["estimator"]](**parameters)
        estimator.coefs_, estimator.intercepts_ = self.weights, self.intercepts
        estimator.n_features_in_ = self.X.shape[1]
        estimator.n_layers_ = len(self.weights) + 1
        estimator.n_outputs_ = self.weights[-1].shape[1]
        estimator.out_activation_ = self.document["out_activation"]
        estimator.n_iter_, estimator.loss_ = self.document["n_iter"], self.document["loss"]
        if isinstance(estimator, MLPClassifier):
            estimator._label_binarizer = LabelBinarizer().fit(self.y)
            estimator.classes_ = estimator._label_binarizer.classes_
        return estimator


@functools.cache
def fitted(name: str) -> Fitted:
    """Read a fixed model, once in a process.

    Raises
    ------
    KeyError
        There is no such model; see `DATASETS`.
    """
    file = ModelFile.read(name)
    return Fitted(name, file.estimator(), file.X.astype(np.float64), file.y, float(file.document["score"]))
