"""Names for array types, for the type checker alone: Python 3.8 cannot subscript ``numpy.ndarray``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]
    Float32Array = np.ndarray[Any, np.dtype[np.float32]]
    Float64Array = np.ndarray[Any, np.dtype[np.float64]]
