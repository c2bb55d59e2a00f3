"""The support table: what becomes of each estimator of the scikit-learn that is installed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.feature_selection import SelectorMixin
from sklearn.model_selection._search import BaseSearchCV
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.utils import all_estimators

from scirknn.answers import METHODS
from sklearn2rknn.estimators.registry import ESTIMATORS, form_of
from sklearn2rknn.transformers.registry import TRANSFORMERS
from sklearn2rknn.transformers.unconvertible import refusal_of

NOT_YET = "not yet"


@attrs.frozen
class Support:
    """One estimator's line.

    Attributes
    ----------
    estimator : str
    form : str
        What it becomes; empty where it cannot be converted.
    precisions : tuple of str
    methods : tuple of str
        Those of its class that a loaded model has; some depend on how it was fitted.
    worth : str
        From where on the NPU is likely faster than the board's CPU.
    refusal : str
        Why it cannot be converted; ``"not yet"`` where nobody has written a reader.
    """

    estimator: str
    form: str = ""
    precisions: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    worth: str = ""
    refusal: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the line as JSON takes it."""
        return attrs.asdict(self)


def support_table(kinds: Iterable[type] | None = None) -> tuple[Support, ...]:
    """Return a line for each estimator, by default for all that scikit-learn lists."""
    if kinds is None:
        kinds = [kind for _, kind in all_estimators()]
    return tuple(_support(kind) for kind in kinds)


def sections(lines: Iterable[Support]) -> list[tuple[str, str, list[Support]]]:
    """Return the lines by what they become: a heading, a note and its lines; what is not there yet last."""
    members: dict[tuple[str, str], list[Support]] = {}
    for line in lines:
        heading = line.form or (NOT_YET if line.refusal == NOT_YET else f"refused: {line.refusal}")
        never = line.worth.removeprefix("never: ")
        worth = f"worth the NPU from {never}" if never == line.worth else f"never worth the NPU: {never}"
        note = f"{', '.join(line.precisions)}; {worth}" if line.worth else ""
        members.setdefault((heading, note), []).append(line)
    order = sorted(members, key=lambda key: (key[0] == NOT_YET, key[0].startswith("refused"), not key[1]))
    return [(heading, note, members[heading, note]) for heading, note in order]


def _support(kind: type) -> Support:
    name = kind.__name__
    if ESTIMATORS.find(kind) is not None:
        form = form_of(kind)
        passes_on = hasattr(kind, "__getattr__")  # FrozenEstimator has the methods of what it holds
        own = [method for method in METHODS if passes_on or hasattr(kind, method)]
        methods = tuple(method for method in own if method not in form.without)
        return Support(name, form.text, form.precisions, methods, form.worth)
    around = _around(kind)
    if around:
        return Support(name, around)
    return Support(name, refusal=refusal_of(kind) or NOT_YET)


def _around(kind: type) -> str:
    """Return what a class does around a model, empty where it cannot stand there."""
    if kind in (Pipeline, TransformedTargetRegressor) or issubclass(kind, BaseSearchCV):
        return "what is in it"
    if kind in (ColumnTransformer, FeatureUnion) or TRANSFORMERS.find(kind) is not None:
        return "a step of a Pipeline"
    has_support = issubclass(kind, SelectorMixin) and "transform" not in vars(kind)
    return "a step of a Pipeline" if has_support else ""
