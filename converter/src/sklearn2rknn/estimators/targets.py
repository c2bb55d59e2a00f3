"""The inverse of a target's transformer, behind a network."""

from __future__ import annotations

import copy
from typing import Any

import attrs
from sklearn.exceptions import NotFittedError as _SklearnNotFittedError
from sklearn.preprocessing import FunctionTransformer, PowerTransformer, QuantileTransformer
from sklearn.utils.validation import check_is_fitted

from scirknn.bundle import Affine
from scirknn.bundle.columns import Number
from scirknn.steps.activations import Activation
from scirknn.steps.linear import Scale
from scirknn.steps.step import Step, width_after
from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.network.network import Network
from sklearn2rknn.not_fitted import NotFittedError
from sklearn2rknn.transformers.distributions import inverse_function, power_of, quantiles_of
from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.pipelines import is_pipeline, pipeline_steps
from sklearn2rknn.transformers.registry import TRANSFORMERS, apply_step

_OWNER = "TransformedTargetRegressor"

_CURE = (
    "convert model.regressor_, and pass its predictions through model.transformer_.inverse_transform yourself"
)


def append_target_inverse(target: Any, network: Network) -> Network:
    """Put the inverse of a target's transformer behind a network.

    Parameters
    ----------
    target : sklearn.compose.TransformedTargetRegressor
        Fitted.
    network : Network
        Of its ``regressor_``.

    Raises
    ------
    UnsupportedModelError
        The transformer, or a step of it, has no inverse that can be converted; the text names it.
    """
    if network.head != "identity":
        # What follows is arithmetic of the activation's results.
        epilogue = (*network.epilogue, Activation(network.head))
        network = attrs.evolve(network, epilogue=epilogue, head="identity")
    width = width_after(network.epilogue, network.n_outputs)
    inverse = _inverse(target.transformer_, width, f"{_OWNER}'s transformer")
    network = attrs.evolve(
        network, single_output=target._training_dim == 1 and width == 1, responses=None, score=None
    )
    first = inverse[0] if inverse else None
    if network.layers and not network.epilogue and isinstance(first, Scale):
        output = Affine(first.offset, first.scale)
        return attrs.evolve(network, output=output, epilogue=tuple(inverse[1:]))
    return attrs.evolve(network, epilogue=(*network.epilogue, *inverse))


def _inverse(transformer: Any, width: int, where: str) -> list[Step]:
    """Return the steps from transformed targets back to targets; scales that meet are one."""
    steps: list[Step] = []
    for each, name in _reversed_steps(transformer, where):
        named = f"{name} ({type(each).__name__})"
        for step in _step_inverse(each, width, named):
            last = steps[-1] if steps else None
            if isinstance(step, Scale) and isinstance(last, Scale):
                steps[-1] = Scale(last.offset + step.offset / last.scale, last.scale * step.scale)
            else:
                steps.append(step)
    return steps


def _reversed_steps(transformer: Any, where: str) -> list[tuple[Any, str]]:
    """Return the transformers of a pipeline, the last one first; what does nothing is left out."""
    if not is_pipeline(transformer):
        return [(transformer, where)]
    steps = [
        inner
        for name, each in reversed(pipeline_steps(transformer))
        if each not in (None, "passthrough")
        for inner in _reversed_steps(each, f"{where}, step {name!r}")
    ]
    return steps


def _step_inverse(transformer: Any, width: int, named: str) -> tuple[Step, ...]:
    """Return the inverse of one transformer."""
    try:
        check_is_fitted(transformer)
    except (_SklearnNotFittedError, TypeError):
        raise NotFittedError(f"{named} is not fitted. Call fit(X, y) before converting.") from None
    kind = type(transformer)
    if kind is FunctionTransformer:
        function = inverse_function(transformer, named, f"{_CURE[0].upper()}{_CURE[1:]}.")
        return () if function is None else (function,)
    if kind is PowerTransformer:
        scaled = _affine_inverse(transformer._scaler, width, named) if transformer.standardize else ()
        return (*scaled, power_of(transformer, inverse=True))
    if kind is QuantileTransformer:
        return (quantiles_of(transformer, inverse=True),)
    return _affine_inverse(transformer, width, named)


def _affine_inverse(transformer: Any, width: int, named: str) -> tuple[Step, ...]:
    if getattr(transformer, "clip", False):  # what lies beyond the limits is mapped back as it is
        transformer = copy.copy(transformer)
        transformer.clip = False
    table = None
    if TRANSFORMERS.find(type(transformer)) is not None:
        table = apply_step(transformer, FeatureTable.of_columns(width), named[: named.rindex(" (")])
    columns = tuple(Number(index) for index in range(width))
    if table is None or table.weights is not None or table.columns != columns:
        raise UnsupportedModelError(
            f"{named} is not affine for each target. Use a scaler, a PowerTransformer, a "
            f"QuantileTransformer or one of numpy's functions; or {_CURE}."
        )
    affine = table.affine()
    # z = (y - offset) * scale, and so y = (z + offset * scale) / scale.
    return () if affine is None else (Scale(-affine.offset * affine.scale, 1.0 / affine.scale),)
