"""A case's model, and the rows that it is tried with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np

from rknn_harness.models.datasets import fitted
from rknn_harness.models.family_model import build_family_model
from rknn_harness.models.held_out import split
from rknn_harness.models.own_model import OwnModel
from rknn_harness.models.random_mlp import build_estimator, build_other_rows, build_rows
from rknn_harness.plan.corpus import read_model
from rknn_harness.records.case import Case
from rknn_harness.records.specs.family_spec import FamilySpec
from scirknn.arrays import Array
from sklearn2rknn.tolerances import FEWEST_ROWS


@attrs.frozen(eq=False)
class ModelUnderTest:
    """A case's model and its rows.

    Attributes
    ----------
    estimator : object
        Fitted.
    X : numpy.ndarray, shape (n, n_features)
        All rows of the case. Each is held to the derived bound.
    example : numpy.ndarray
        The converter's example input.
    check : numpy.ndarray or None
        The rows that the converter checks its file on, where it is not to hold out some of the example.
    judged : numpy.ndarray of int
        Rows of X that the converter does not see. Shares of labels and R2 are counted on these.
    """

    estimator: Any
    X: Array
    example: Array
    check: Array | None
    judged: Array


def model_of(case: Case, corpus: Path | None = None, own: OwnModel | None = None) -> ModelUnderTest:
    """Return a case's model: the converter is given half of the rows of a data set, or of a user's.

    A random network is built from other rows of the same distribution, and the converter's check has half of
    the case's with others, so that there are enough. For a model of a family the converter is given the rows
    that it was fitted to.
    """
    if isinstance(case.source, str):
        model = own or fitted(case.source)
        example, judged = split(model.X)
        return ModelUnderTest(model.estimator, model.X, example, None, judged)
    if isinstance(case.source, FamilySpec):
        return _of_family(case, case.source, corpus)
    if case.kind == "corpus" and corpus is not None:
        estimator, X = read_model(corpus / case.id)
    else:
        estimator, X = build_estimator(case.source), build_rows(case.source)
    shown, judged = split(X)
    others = build_other_rows(case.source, 64 + FEWEST_ROWS)
    check = np.concatenate([shown, others[64:]])
    return ModelUnderTest(estimator, X, others[:64], check, judged)


def _of_family(case: Case, spec: FamilySpec, corpus: Path | None) -> ModelUnderTest:
    if case.kind == "corpus" and corpus is not None:
        estimator, X = read_model(corpus / case.id)
        return ModelUnderTest(estimator, X, X[: spec.fitted_rows], None, np.arange(spec.fitted_rows, len(X)))
    model = build_family_model(spec)
    X = model.rows
    return ModelUnderTest(model.estimator, X, model.fitted, None, np.arange(len(model.fitted), len(X)))
