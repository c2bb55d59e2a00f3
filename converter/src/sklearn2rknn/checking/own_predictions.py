"""Compare an estimator's own predictions with those of the network that was read from it."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from scirknn.answers import ask, decision_values, gives_numbers, labels_of, main_method
from scirknn.arrays import Floats
from scirknn.steps.kernels import Kernel, KernelLogarithm, LabelShares
from scirknn.steps.step import carry_steps
from sklearn2rknn.checking.comparisons import decision_margins
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.network.network import Network

_ROWS = 256
_TIE = 1e-3  # outputs that differ by less may be ordered either way by float32 weights


def check_own_predictions(model: Any, network: Network, example_input: Any) -> None:
    """Refuse a model whose ``predict`` computes something other than its weights do.

    Parameters
    ----------
    model : object
        The estimator. One that cannot predict the rows is not compared.
    network : Network
    example_input : array-like or None

    Raises
    ------
    UnsupportedModelError
        The text has the number of rows that differ.
    """
    if example_input is None:
        return
    rows = example_input.iloc[:_ROWS] if hasattr(example_input, "iloc") else example_input[:_ROWS]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of names of columns
            expected = np.asarray(ask(model, main_method(network), rows))
    except (AttributeError, LookupError, TypeError, ValueError):  # the rows suit the network only
        return
    except (ArithmeticError, MemoryError, NameError, RuntimeError) as failure:
        raise UnsupportedModelError(
            f"{type(model).__name__}.{main_method(network)} of scikit-learn fails on the example rows: "
            f"{str(failure)[:200]}. An attribute was changed after fit, or the file is damaged: fit again."
        ) from failure
    outputs, inputs = network.forward(rows), network.expand(rows)
    values, error = carry_steps(network.epilogue, outputs, _rounding_of_exponents(network, inputs), inputs)
    error = error + _lost_in_scikit_learn(network, values)
    wrong = _differences(network, values, expected) & are_settled(error, _TIE * (1 + np.abs(values)))
    if wrong.any():
        raise UnsupportedModelError(
            f"{type(model).__name__}.predict gives something other than its weights do in {wrong.sum()} "
            f"of {len(wrong)} example rows, first in row {int(wrong.argmax())}. Convert an estimator that "
            "predicts by scikit-learn's own methods; of one that does, coefficients are so large that "
            "rounding decides: fit it with more regularization."
        )


def are_settled(error: Floats, limits: Floats) -> npt.NDArray[np.bool_]:
    """Return the rows whose values carry no error beyond its limit, from outputs without one.

    Where a step decides between neighbours at the same distance, scikit-learn may decide otherwise. A limit
    is NaN where the value is, which is an answer too.
    """
    return np.asarray((np.isfinite(error) & ~(error > limits)).all(axis=1))


def _rounding_of_exponents(network: Network, inputs: Floats) -> Floats:
    """Return how far float64 may round a kernel's exponents, which large coefficients make much of; else 0.

    A sum of n products errs by ``n 2^-53`` of their sizes, and so does the square among the inputs.
    """
    if len(network.layers) != 1 or not isinstance(next(iter(network.epilogue), None), (Kernel, LabelShares)):
        return np.zeros((len(inputs), network.n_outputs))
    weights, bias = network.layers[0].weights, network.layers[0].bias
    sizes = np.abs(inputs) @ np.abs(weights) + np.abs(bias)
    return np.asarray(2 * len(weights) * 2.0**-53 * sizes)


def _lost_in_scikit_learn(network: Network, values: Floats) -> Floats:
    """Return how far scikit-learn's own answers may be off.

    Its `KernelDensity` subtracts and adds bounds of the nodes of a tree, which begin at the density that all
    rows in one place would have: 8 roundings of that for each row. Far from all rows nothing is left.
    """
    last = network.epilogue[-1] if network.epilogue else None
    if not isinstance(last, KernelLogarithm):
        return np.zeros_like(values)
    largest = np.log(last.weights.sum()) + last.bias
    with np.errstate(over="ignore"):
        return np.asarray(8 * len(last.weights) * 2.0**-53 * np.exp(largest - values))


def _differences(network: Network, values: Floats, expected: npt.NDArray[Any]) -> npt.NDArray[Any]:
    predicted = network.predict(values)
    if expected.shape[:1] != predicted.shape[:1]:
        return np.ones(max(1, len(predicted)), dtype=bool)
    if gives_numbers(network):
        if expected.size != predicted.size or expected.dtype.kind not in "biuf":
            return np.ones(len(predicted), dtype=bool)
        limit = _TIE * (1 + np.abs(predicted))
        expected = np.asarray(expected.reshape(predicted.shape), np.float64)
        # Of a row without neighbours the network gives NaN, scikit-learn of integers the least one.
        wrong = (np.abs(predicted - expected) > limit) | (np.isnan(expected) & ~np.isnan(predicted))
        return np.asarray(wrong.any(axis=1))
    labels, values = labels_of(network, predicted), decision_values(network, values)
    middle = 0.5 if network.head == "identity" else 0.0
    if network.task == "multilabel":
        if expected.shape != labels.shape:
            return np.ones(len(labels), dtype=bool)
        return np.asarray(((labels != expected) & ~(np.abs(values - middle) <= _TIE)).any(axis=1))
    is_single = values.shape[1] == 1
    margin = np.abs(values[:, 0]) if is_single else decision_margins(values, one_of_them=True)
    different = np.array([a != b for a, b in zip(labels.tolist(), expected.tolist(), strict=True)])
    return np.asarray(different & ~(margin <= _TIE))
