"""The fitted attributes of one estimator, each read with the type and size that fit gives it."""

from __future__ import annotations

import reprlib
from collections.abc import Collection
from typing import Any

import numpy as np
import numpy.typing as npt

from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.transformers.refusals import is_number

MOST_FEATURES = 1 << 20
"""Features beyond which a model is refused before anything of that size is made; no NPU takes as many."""


class Attributes:
    """Read attributes, and refuse those that fit does not leave.

    Parameters
    ----------
    instance : object
    """

    def __init__(self, instance: Any) -> None:
        self.instance = instance
        self.name = type(instance).__name__

    def refuse(self, key: str, expected: str) -> UnsupportedModelError:
        """Return the error for an attribute of another kind."""
        value = getattr(self.instance, key, None)
        if hasattr(value, "toarray"):
            return UnsupportedModelError(f"{self.name}.{key} is a sparse matrix. Fit to X.toarray().")
        shown = f"of shape {value.shape}" if type(value) is np.ndarray else reprlib.repr(value)[:80]
        return UnsupportedModelError(
            f"{self.name}.{key} is {type(value).__name__} {shown}; fit leaves {expected}. It was changed "
            "after fit, or the file is damaged: fit again."
        )

    def has(self, key: str) -> bool:
        """Whether there is such an attribute that is not None."""
        return getattr(self.instance, key, None) is not None

    def get(self, key: str) -> Any:
        """Return an attribute, None where there is none."""
        return getattr(self.instance, key, None)

    def array(self, key: str, shape: tuple[int | None, ...], kinds: str = "fiu") -> npt.NDArray[Any]:
        """Return an array of a shape, in which None stands for any length, and of a dtype's kind."""
        value = self.get(key)
        if (
            not isinstance(value, np.ndarray)
            or value.dtype.kind not in kinds
            or value.ndim != len(shape)
            or any(want not in (None, length) for want, length in zip(shape, value.shape, strict=True))
        ):
            raise self.refuse(key, f"an array of shape {shape} there".replace("None", "any"))
        return value

    def row(self, key: str, width: int, *, least: float | None = None) -> None:
        """Check an array of one number for each feature."""
        values = self.array(key, (width,))
        if least is not None and not (np.isnan(values) | (values >= least)).all():
            raise self.refuse(key, f"numbers of at least {least}")

    def count(self, key: str, least: int = 1, most: int = 1 << 62) -> int:
        """Return an integer."""
        value = self.get(key)
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or not least <= value <= most:
            raise self.refuse(key, f"an integer from {least} to {most}")
        return int(value)

    def flag(self, *keys: str) -> None:
        """Check parameters that are yes or no; one that another version has not is passed over."""
        for key in keys:
            if hasattr(self.instance, key) and not isinstance(self.get(key), (bool, np.bool_)):
                raise self.refuse(key, "True or False")

    def choice(self, key: str, options: Collection[str]) -> str:
        """Return a text out of some."""
        value = self.get(key)
        if not isinstance(value, str) or value not in options:
            raise self.refuse(key, " or ".join(repr(option) for option in options))
        return value

    def number(self, key: str) -> None:
        """Check a real number, NaN among them."""
        if not is_number(self.get(key)):
            raise self.refuse(key, "a number")

    def width(self) -> int:
        """Return the number of features at fit."""
        return self.count("n_features_in_", 1, MOST_FEATURES)

    def items(self, key: str, length: int) -> list[tuple[Any, ...]]:
        """Return a list of tuples of a length that begin with a name, none twice."""
        value = self.get(key)
        if not isinstance(value, (list, tuple)) or not all(
            isinstance(item, tuple) and len(item) == length and isinstance(item[0], str) for item in value
        ):
            raise self.refuse(key, f"a list of tuples of {length} that begin with a name")
        if len({item[0] for item in value}) != len(value):
            raise self.refuse(key, "names that differ")
        return list(value)

    def weights(self, key: str) -> None:
        """Check numbers by name, or None."""
        value = self.get(key)
        if value is not None and not (
            isinstance(value, dict)
            and all(
                isinstance(name, str) and isinstance(each, (int, float, np.number))
                for name, each in value.items()
            )
        ):
            raise self.refuse(key, "a dict of numbers, or None")
