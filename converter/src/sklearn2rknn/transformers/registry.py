"""Which steps of a pipeline can be read, and by what.

A reader takes a fitted step's numbers and returns the features after it; each formula is the step's
``transform`` (scikit-learn's source). Readers are in the modules of this folder, or in one that another
distribution names in an entry point of the group ``sklearn2rknn.transformers``::

    @reads(StandardScaler)
    def apply_standard_scaler(step, table, named):
        return table.calculate("subtract", step.mean_).calculate("divide", step.scale_)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sklearn.exceptions import NotFittedError as _SklearnNotFittedError
from sklearn.feature_selection import SelectorMixin
from sklearn.pipeline import FeatureUnion
from sklearn.utils.validation import check_is_fitted

from sklearn2rknn.errors import UnsupportedModelError
from sklearn2rknn.not_fitted import NotFittedError
from sklearn2rknn.registry import Registry
from sklearn2rknn.transformers.feature_table import FeatureTable
from sklearn2rknn.transformers.pipelines import is_pipeline, pipeline_steps
from sklearn2rknn.transformers.refusals import refuse_statistics
from sklearn2rknn.transformers.unconvertible import refusal_of

StepReader = Callable[[Any, FeatureTable, str], FeatureTable]

TRANSFORMERS: Registry[StepReader] = Registry("sklearn2rknn.transformers", "sklearn2rknn.transformers")
"""SelectorMixin stands for all selectors."""

reads = TRANSFORMERS.reads

APART = "Apply it to X yourself, before fit and before predict, and convert the rest of the pipeline."


def apply_step(step: Any, table: FeatureTable, where: str) -> FeatureTable:
    """Return the features after a fitted transformer.

    Parameters
    ----------
    step : object
        A transformer, or ``"passthrough"`` or None.
    table : FeatureTable
        The features in front of it.
    where : str
        What to call it, such as ``"Pipeline step 'pca'"``.

    Raises
    ------
    UnsupportedModelError
        The step, or a parameter of it, has no counterpart; the text names it and the cure.
    NotFittedError
        It was not fitted.
    """
    if step is None or isinstance(step, str):
        if step not in (None, "passthrough"):
            raise UnsupportedModelError(f"{where} is {step!r:.60}; it can be a transformer or 'passthrough'.")
        return table
    kind = type(step)
    named = f"{where} ({kind.__name__})"
    if is_pipeline(step):
        for name, each in pipeline_steps(step):
            table = apply_step(each, table, f"{where}, step {name!r}")
        return table
    read = _reader(step, named)
    try:
        check_is_fitted(step)
    except _SklearnNotFittedError:
        raise NotFittedError(
            f"{named} is not fitted. Call fit(X, y) on the complete model before converting."
        ) from None
    fitted_on = getattr(step, "n_features_in_", table.width)
    if fitted_on != table.width:
        raise UnsupportedModelError(
            f"{named} was fitted on {fitted_on} features and is given {table.width}. Fit the complete model "
            "again."
        )
    result = read(step, table, named)
    refuse_statistics(result, named)
    return result


def _reader(step: Any, named: str) -> StepReader:
    kind = type(step)
    read = TRANSFORMERS.find(kind)
    if read is None and isinstance(step, SelectorMixin) and kind.transform is SelectorMixin.transform:
        read = TRANSFORMERS.find(SelectorMixin)
    if read is None:
        names = [name for name in TRANSFORMERS.names() if name != SelectorMixin.__name__]
        why = refusal_of(kind) or f"is neither a selector of columns nor one of {', '.join(names)}"
        raise UnsupportedModelError(f"{named} cannot be converted: it {why}. {APART}")
    return read


def first_step(steps: Iterable[Any]) -> Any:
    """Return the first transformer or estimator of `steps`, which has the names."""
    for step in steps:
        if step is None or isinstance(step, str):
            continue
        if is_pipeline(step):
            inner = first_step(each for _, each in pipeline_steps(step))
        elif isinstance(step, FeatureUnion):
            inner = first_step(each for _, each in step.transformer_list)
        else:
            return step
        if inner is not None:
            return inner
    return None
