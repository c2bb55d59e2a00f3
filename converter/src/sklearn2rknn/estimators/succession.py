"""Networks behind one another: a transformer that is a network itself, in front of a model."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from scirknn.steps.linear import Dense
from scirknn.steps.step import take_rows
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.estimators.registry import ESTIMATORS, read_estimator
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.transformers.registry import TRANSFORMERS


def is_network(step: Any) -> bool:
    """Whether a step of a pipeline can be read as a network only, such as a kernel's features."""
    kind = type(step)
    return ESTIMATORS.find(kind) is not None and TRANSFORMERS.find(kind) is None


def put_behind(step: Any, network: Network, where: str) -> Network:
    """Return the network of a fitted transformer with the model's network behind it.

    Parameters
    ----------
    step : object
        For which `is_network` holds.
    network : Network
        The model's, with what lies between folded into it.
    where : str
        What to call the step, such as ``"Pipeline step 'nystroem'"``.

    Raises
    ------
    UnsupportedModelError
        The host ends the transformer, and the model behind it is more than one dense layer.
    """
    named = f"{where} ({type(step).__name__})"
    first = read_estimator(step)
    if first.task != "transformer" or first.head not in ("identity", "logistic"):
        raise UnsupportedModelError(
            f"{named} cannot be converted in front of a model. Apply it to X yourself, before fit and before "
            "predict, and convert the rest of the pipeline."
        )
    width = network.n_features_in
    if network.columns is not None or network.features or take_rows(network.epilogue):
        raise UnsupportedModelError(
            f"{network.estimator} and the steps behind {named} take its {width} features apart. Let a scaler "
            "or a linear model follow it, or apply it to X yourself."
        )
    layers = layers_behind_input(network)
    fields: dict[str, Any] = {"features": first.features, "features_in": first.features_in}
    if not first.epilogue:
        last = attrs.evolve(first.layers[-1], activation=first.head)
        fields |= {"layers": (*first.layers[:-1], last, *layers)}
    elif all(layer.activation == "identity" for layer in layers):
        behind = (*(Dense(layer.weights, layer.bias) for layer in layers), *network.epilogue)
        fields |= {"layers": first.layers, "epilogue": (*first.epilogue, *behind)}
    else:
        raise UnsupportedModelError(
            f"{named} ends on the host, and {network.estimator} behind it has layers for the NPU. Let a "
            "linear model follow it, or apply it to X yourself."
        )
    return attrs.evolve(
        network,
        **fields,
        input=first.input,
        input_ranges=None,
        feature_names=first.feature_names,
        first_step=None,
    )


def layers_behind_input(network: Network) -> tuple[Layer, ...]:
    """Return a network's layers with the map in front of them multiplied into the first."""
    if network.input is None:
        return network.layers
    first, scale = network.layers[0], network.input.scale
    bias = first.bias - (network.input.offset * scale) @ first.weights
    return (Layer(first.weights * np.asarray(scale)[:, None], bias, first.activation), *network.layers[1:])
