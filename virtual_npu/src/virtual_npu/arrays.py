"""Names of array types."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Float32Array"]

Array = npt.NDArray[Any]
Float32Array = npt.NDArray[np.float32]
