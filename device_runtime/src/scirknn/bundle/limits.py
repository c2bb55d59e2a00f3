"""How large a bundle can be: checked before anything of that size is made."""

from __future__ import annotations

from typing import Any

import numpy as np

from scirknn.arrays import Floats

MOST_COLUMNS = 1 << 16
"""Features or outputs. The widest layer that the toolkits build has some 8,000 units."""

MOST_CHANNELS = 1 << 18
"""Width of a model's input: three channels for each of `MOST_COLUMNS`, and padding."""

LARGEST_BATCH_SIZE = 1 << 14
"""Rows of one run; the converter takes no more, for beyond it the toolkit takes minutes."""

LARGEST_RUN = 1 << 28
"""Values of one run's input or output: 512 MiB of float16 on the NPU, which addresses 4 GiB."""

MOST_VARIANTS = 32
"""Model files of a bundle. Each is opened, on every core with core="pool"; two or three are usual."""

LARGEST_CLASSES = 1 << 24
"""Bytes of the class labels: 4,096 labels of 1,024 characters."""


def float_array(values: Any, count: int) -> Floats | None:
    """Return a list of so many JSON numbers as float64, or None for anything else.

    The length is compared before an array is made. NaN and infinity pass.
    """
    if not isinstance(values, list) or len(values) != count:
        return None
    if not all(type(value) in (int, float) for value in values):
        return None
    try:
        return np.array(values, dtype=np.float64)
    except OverflowError:
        return None
