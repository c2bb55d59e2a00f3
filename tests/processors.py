"""Other processors' arithmetic, as far as environment variables choose it."""

from __future__ import annotations

import os

import numpy as np

from tests.counts import FULL

__all__ = ["KERNELS", "PROCESSORS", "environment"]

KERNELS = {"Haswell": "Haswell", "Nehalem": "Nehalem", "Sandybridge": "Sandybridge", "Prescott": "Katmai"}
"""What OPENBLAS_CORETYPE asks for, and the name that OpenBLAS then reports.

It has one set of kernels for Prescott and older processors, and reports the oldest (driver/others/dynamic.c).
"""

PROCESSORS = (*KERNELS, "old numpy") if FULL else ("Haswell", "Nehalem", "old numpy")
"""Those that a run tries."""


def environment(processor: str) -> dict[str, str]:
    """Return the variables of a child process that computes as such a processor does."""
    if processor in KERNELS:
        return {**os.environ, "OPENBLAS_CORETYPE": processor}
    # numpy's own loops, such as exp and tanh, without the instructions that newer processors have.
    features = np.show_config(mode="dicts")["SIMD Extensions"]["found"]
    return {**os.environ, "NPY_DISABLE_CPU_FEATURES": " ".join(features)}
