"""Names of array types.

At run time each is ``numpy.ndarray``, which Python 3.8 cannot subscript.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

__all__ = ["Array", "Float32Array", "Floats", "Ints"]

if TYPE_CHECKING:
    Array = np.ndarray[Any, Any]
    Float32Array = np.ndarray[Any, np.dtype[np.float32]]
    Floats = np.ndarray[Any, np.dtype[np.float64]]
    Ints = np.ndarray[Any, np.dtype[np.int64]]
else:
    Array = Float32Array = Floats = Ints = np.ndarray
