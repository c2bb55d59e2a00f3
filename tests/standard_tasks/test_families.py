"""Every kind of model converts, and each method answers within its limits on rows that it was not built from.

``tox -e tasks``; see `tests.standard_tasks.families` for the table.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import scirknn
from rknn_harness.verdicts.reference import reference
from scirknn.answers import ask
from scirknn.arrays import Array
from sklearn2rknn import Toolkit, convert, open_toolkit
from sklearn2rknn.checking.comparisons import are_clear, worst_r2
from tests.standard_tasks.families import TASKS, Task

LABELS = 0.999
"""Least share of labels, ties left out, that equal scikit-learn's."""


@pytest.fixture(scope="module")
def toolkit() -> Iterator[Toolkit]:
    with open_toolkit("2.3.2") as toolkit:
        yield toolkit


def test_the_table_has_seventy_five_kinds() -> None:
    assert len({task.name.partition(" ")[0] for task in TASKS}) >= 70
    assert len({task.name for task in TASKS}) == len(TASKS) >= 75


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_each_method_answers_as_scikit_learn_does(task: Task, toolkit: Toolkit, tmp_path: Path) -> None:
    fitted = task.fitted()
    model, X, y = fitted.model, fitted.X, fitted.y
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        convert(model, tmp_path / "model.rknn", example_input=fitted.example, toolkit=toolkit)
        truth = reference(model, X)
        with scirknn.load(tmp_path / "model.rknn", device="virtual") as loaded:
            answers = {method: ask(loaded, method, X) for method in truth.methods}
            if loaded.has("score"):
                assert loaded.score(X, y) == pytest.approx(model.score(X, y), abs=2e-3, rel=1e-3)
    clear = None
    if truth.answer.probabilities is not None:
        clear = are_clear(truth.answer.deciding, one_of_them=truth.task != "multilabel")
    for method, theirs in truth.methods.items():
        ours = answers[method]
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), method
        if theirs.dtype.kind != "f" or (method == "predict" and clear is not None):
            assert clear is not None
            tied = ~clear.reshape(len(clear), -1)  # of voting members, each has a label in each row
            same = (ours == theirs).reshape(len(clear), -1) | tied
            assert same.mean() >= (LABELS if task.exact is None else 1.0), method
        else:
            assert_close(task, method, ours, theirs)


def assert_close(task: Task, method: str, ours: Array, theirs: Array) -> None:
    """Hold numbers to the task's limits: probabilities and their logarithms by their error, others by R2."""
    if method == "predict_log_proba":
        ours, theirs = np.exp(ours), np.exp(theirs)
    error = np.abs(ours - theirs).max()
    if task.exact is not None:
        assert error <= task.exact * max(1.0, np.abs(theirs).max()), method
    elif method in ("predict_proba", "predict_log_proba"):
        assert error <= task.probability, method
    else:
        r2 = worst_r2(theirs.reshape(len(theirs), -1), ours.reshape(len(ours), -1))
        assert r2 is None or r2 >= task.r2, (method, r2)
