"""What a bundle takes over from a network as it is."""

from __future__ import annotations

from typing import Any

from sklearn2rknn.network.network import Network

_NAMES = (
    *("task", "estimator", "classes", "n_features_in", "n_outputs", "feature_names", "single_output"),
    *("dtype", "head", "input", "output", "columns", "first_step", "parts", "output_parts", "head_on_npu"),
    *("high_negated", "features", "scale", "epilogue", "responses", "score", "owner"),
)


def bundle_fields(network: Network) -> dict[str, Any]:
    """Return the arguments of `scirknn.bundle.Bundle` that are the network's own attributes."""
    return {name: getattr(network, name) for name in _NAMES}
