"""Where each layer of a model runs."""

from __future__ import annotations

from .model_file import RknnFile

__all__ = ["placement"]


def placement(file: RknnFile) -> list[tuple[str, str, str]]:
    """List the compute layers as (name, type, where), where being ``"NPU"`` or ``"CPU"``.

    The graph's own input and output operators are left out.
    """
    return [(node.name, node.type, node.placement) for node in file.nodes if node.placement != "none"]
