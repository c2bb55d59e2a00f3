"""Stands in for torch.nn."""

from __future__ import annotations

__all__ = ["Module"]


class Module:
    """A name to inherit from."""
