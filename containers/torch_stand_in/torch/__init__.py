"""Stands in for torch, which the toolkit imports and does not use for ONNX models."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import nn

__all__ = ["Tensor", "nn", "no_grad"]
__version__ = "0.0.0"


class Tensor:
    """A name to compare types with."""


def no_grad() -> Callable[[Any], Any]:
    """Return a decorator that changes nothing."""
    return lambda function: function
