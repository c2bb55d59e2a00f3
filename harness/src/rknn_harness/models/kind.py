"""One kind of model in a family: how it is made, what it is fitted to, and its drawn parameters."""

from __future__ import annotations

import enum
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from rknn_harness.records.case import PRECISIONS
from rknn_harness.records.specs.family_spec import FamilySpec
from sklearn2rknn.estimators.support import support_table

_FEATURES = (1, 33)


class Columns(enum.Enum):
    """What the columns of X hold."""

    NUMBERS = "numbers"
    COUNTS = "counts"
    CATEGORIES = "categories"
    SHARES = "shares"
    GAPS = "numbers, some of them missing"


class Target(enum.Enum):
    """What a model is fitted to, beside X."""

    CLASSES = "classes"
    SOME_CLASSES = "classes of some rows"
    TWO_CLASSES = "two classes"
    LABELS = "several labels"
    NUMBER = "number"
    POSITIVE = "positive"
    NUMBERS = "numbers"
    NONE = "none"


@attrs.frozen
class Kind:
    """A kind of model.

    Attributes
    ----------
    name : str
        Mostly the estimator's class name; of each once in its family.
    make : callable
        Called with drawn parameters, returns an estimator that is not fitted.
    target : Target
    columns : Columns
    features : tuple of (int, int)
        Least and most columns of drawn data.
    choices : mapping of str to sequence
        By parameter, the values that are drawn; JSON types.
    """

    name: str
    make: Callable[..., Any]
    target: Target
    columns: Columns = Columns.NUMBERS
    features: tuple[int, int] = _FEATURES
    choices: Mapping[str, Sequence[Any]] = attrs.field(factory=dict)

    @property
    def precisions(self) -> tuple[str, ...]:
        """The precisions of its class by the converter's support table.

        All where others make the model's precisions, such as those in a pipeline; float16 stands for what the
        host computes.
        """
        made = inspect.unwrap(getattr(self.make, "func", self.make))
        if not isinstance(made, type):
            return PRECISIONS
        (line,) = support_table([made])
        return tuple(each for each in PRECISIONS if each in ("float16", *line.precisions))


def kind(
    make: Callable[..., Any],
    target: Target,
    *,
    name: str = "",
    columns: Columns = Columns.NUMBERS,
    features: tuple[int, int] = _FEATURES,
    **choices: Sequence[Any],
) -> Kind:
    """Return a kind, named after its class; `choices` are the parameters that are drawn."""
    return Kind(name or make.__name__, make, target, columns=columns, features=features, choices=choices)


def scaled(make: Callable[..., Any], **fixed_parameters: Any) -> Callable[..., Pipeline]:
    """Return what makes a pipeline of a scaler and an estimator, with the estimator's parameters and name."""

    @functools.wraps(make, updated=())
    def make_scaled(**parameters: Any) -> Pipeline:
        return make_pipeline(StandardScaler(), make(**fixed_parameters, **parameters))

    return make_scaled


def fixed(name: str, data: str, *, decades: int = 0, **parameters: Any) -> FamilySpec:
    """Return the spec of a kind that is fitted to a data set, its columns multiplied up to 10**decades."""
    return FamilySpec("", name, tuple(sorted(parameters.items())), data, decades=decades)
