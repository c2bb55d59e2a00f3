"""What fit leaves of categories in the encoders."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sklearn2rknn.attribute_checks.attributes import Attributes


def check_categories(step: Attributes, width: int) -> list[int]:
    """Return how many categories each feature of an encoder has.

    Raises
    ------
    UnsupportedModelError
        ``categories_`` is not what fit leaves.
    """
    categories = step.get("categories_")
    if not isinstance(categories, list) or len(categories) != width:
        raise step.refuse("categories_", f"a list of {width} arrays")
    for each in categories:
        if not isinstance(each, np.ndarray) or each.ndim != 1 or each.dtype.kind not in "biufOUSMm":
            raise step.refuse("categories_", "1-D arrays of text or numbers")
        # scikit-learn searches numbers by bisection; NaN stands last.
        if (
            each.dtype.kind in "biuf"
            and not (each[:-1] < each[1:])[: len(each) - 1 - np.isnan(each).sum()].all()
        ):
            raise step.refuse("categories_", "numbers in ascending order")
        if each.dtype.kind in "OUS" and len({_hashed(item) for item in each.tolist()}) != len(each):
            raise step.refuse("categories_", "categories that differ")
    return [len(each) for each in categories]


def _hashed(item: Any) -> Any:
    return item if isinstance(item, (str, int, float, bytes)) else id(item)


def check_groups(step: Attributes, sizes: list[int], apart: list[int]) -> list[int]:
    """Return how many groups of categories each feature of an encoder has.

    Parameters
    ----------
    step : Attributes
        Of a OneHotEncoder or an OrdinalEncoder.
    sizes : list of int
        Categories of each feature.
    apart : list of int
        How many of them, the last ones, no group takes.

    Raises
    ------
    UnsupportedModelError
        What says which categories are infrequent is not what fit leaves.
    """
    if not step.get("_infrequent_enabled"):
        return sizes
    groups = _lists_of_numbers(step, "_default_to_infrequent_mappings", sizes)
    infrequent = _lists_of_numbers(step, "_infrequent_indices", sizes)
    counts = []
    for group, few, size, others in zip(groups, infrequent, sizes, apart, strict=True):
        if group is None or few is None:
            if group is not few:
                raise step.refuse("_infrequent_indices", "the categories of the last group")
            counts.append(size)
            continue
        most = int(group.max())
        if len(group) != size - others or not np.array_equal(np.unique(group), np.arange(most + 1)):
            raise step.refuse("_default_to_infrequent_mappings", "the group of each category")
        if not np.array_equal(np.flatnonzero(group == most), np.sort(few)):
            raise step.refuse("_infrequent_indices", "the categories of the last group")
        counts.append(most + 1)
    return counts


def _lists_of_numbers(step: Attributes, key: str, sizes: list[int]) -> list[npt.NDArray[np.intp] | None]:
    """Return an attribute that holds numbers of categories, or None, for each feature."""
    lists = step.get(key)
    if not isinstance(lists, list) or len(lists) != len(sizes):
        raise step.refuse(key, f"a list of {len(sizes)} arrays")
    for each, size in zip(lists, sizes, strict=True):
        if each is None:
            continue
        is_numbers = isinstance(each, np.ndarray) and each.dtype.kind in "iu" and each.ndim == 1 and each.size
        if not is_numbers or each.min() < 0 or each.max() >= size:
            raise step.refuse(key, "arrays of numbers of categories")
    return lists
