"""The number formats that a model file can have."""

from __future__ import annotations

from enum import Enum


class Precision(str, Enum):
    """Number format of a model file; each is a str too, its name."""

    FLOAT16 = "float16"
    INT8 = "int8"
    INT16 = "int16"

    __str__ = str.__str__
