"""Names that a model file may hold, and what each of them becomes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import numpy as np

from scirknn.steps.elementwise import FUNCTIONS as ELEMENTWISE

_LISTS = json.loads(Path(__file__).with_suffix(".json").read_text("utf-8"))
"""Names by what they become, in groups that say what they are of; `modules` are old names and new ones."""

INSTANCES = frozenset(itertools.chain(*_LISTS["instances"].values()))
"""Classes of which a plain instance is made, beside those of estimators and transformers that are read.

No constructor and no ``__setstate__`` runs.
"""

METRICS = (
    "BrayCurtis", "Canberra", "Chebyshev", "Dice", "Euclidean", "Hamming", "Haversine", "Jaccard",
    "Mahalanobis", "Manhattan", "Minkowski", "RogersTanimoto", "RussellRao", "SEuclidean", "SokalMichener",
    "SokalSneath",
)  # fmt: skip
"""Distances of trees of neighbors."""

LOSSES = (
    "AbsoluteError", "ExponentialLoss", "HalfBinomialLoss", "HalfGammaLoss", "HalfMultinomialLoss",
    "HalfPoissonLoss", "HalfSquaredError", "HuberLoss", "PinballLoss",
)  # fmt: skip
"""Losses of gradient boosting."""

_LINEAR_LOSSES = (
    "EpsilonInsensitive", "Hinge", "Huber", "Log", "ModifiedHuber", "SquaredEpsilonInsensitive",
    "SquaredHinge", "SquaredLoss",
)  # fmt: skip
"""Losses of linear models that are fitted by stochastic gradient descent."""

_TWEEDIE = ("HalfTweedieLoss", "HalfTweedieLossIdentity")

_LINKS = ("HalfLogitLink", "IdentityLink", "Interval", "LogLink", "LogitLink", "MultinomialLogit")

SAMPLERS = frozenset(_LISTS["samplers"])
"""imbalanced-learn's samplers, which act in fit only."""

RECORDS = frozenset(
    {
        *SAMPLERS,
        *itertools.chain(*_LISTS["records"].values()),
        *(f"sklearn.metrics._dist_metrics.{name}Distance{bits}" for name in METRICS for bits in ("", "64")),
        *(f"sklearn._loss.loss.{name}" for name in LOSSES),
        *(f"sklearn._loss._loss.Cy{name}" for name in LOSSES),
        *(f"sklearn._loss.link.{name}" for name in _LINKS),
        *(f"sklearn._loss.{place}{name}" for name in _TWEEDIE for place in ("loss.", "_loss.Cy")),
        *(f"sklearn.linear_model._sgd_fast.{name}" for name in _LINEAR_LOSSES),
    }
)
"""Classes and constructors of which only name, arguments and state are kept."""

DICTS = frozenset({"sklearn.utils.deprecation.DeprecationDict", "sklearn.utils._bunch.Bunch"})
"""Classes that become a plain dict, without their other state.

A search's results before 0.24, and the members of an ensemble by their names.
"""

TYPES: dict[str, Any] = {
    **{f"builtins.{kind.__name__}": kind for kind in (bool, bytes, float, int, object, str)},
    **{
        f"numpy.{name}": getattr(np, name)
        for name in (
            "bool", "bool_", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "object_",
            "str_", "uint8", "uint16", "uint32", "uint64",
        )
        if name in dir(np)  # numpy 1.24 warns of a question for bool
    },
}  # fmt: skip
"""Types of numbers and text, which are parameters of some steps."""

FUNCTIONS: dict[str, Any] = {f"numpy.{name}": getattr(np, name) for name in ("abs", *ELEMENTWISE)}
"""numpy's elementwise functions of one argument."""

_MODULES = dict(itertools.chain(*(group.items() for group in _LISTS["modules"].values())))


def current_name(module: str, name: str) -> str:
    """Return the full name of a class or function in the present packages."""
    return f"{_MODULES.get(module, module)}.{name}"
