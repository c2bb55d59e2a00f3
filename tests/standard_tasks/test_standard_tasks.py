"""Twelve tasks in every precision, judged on the register program, beside a plain conversion.

``tox -e tasks``; ``python -m benchmarks.accuracy tasks`` prints the table of converter/ACCURACY.md.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scirknn
from sklearn2rknn import Toolkit, convert, network_from_estimator, open_toolkit
from sklearn2rknn.checking.agreement import Agreement, agreement
from tests.standard_tasks.tasks import Rows, plain, standard_tasks

LABELS = {"float16": 0.999, "int16": 0.999, "int8": 0.99}
"""Least share of labels, ties left out, that equal scikit-learn's."""

R2 = {
    ("float16", False): 0.9999,
    ("float16", True): 0.9997,
    ("int16", False): 0.9999,
    ("int16", True): 0.9997,
    ("int8", False): 0.985,
    ("int8", True): 0.985,
}
"""Least R2, by precision and whether the activation comes from a table."""

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    TASKS = {name: (estimator, X) for name, estimator, X in standard_tasks()}


@pytest.fixture(scope="module")
def toolkit() -> Iterator[Toolkit]:
    with open_toolkit("2.3.2") as toolkit:
        yield toolkit


def converted(path: Path, estimator: Any, X: Rows, toolkit: Toolkit, **options: Any) -> Agreement:
    """Compare the answers of what is written with scikit-learn's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        convert(estimator, path, example_input=X, toolkit=toolkit, **options)
    with scirknn.load(path, device="virtual") as model:
        outputs = np.asarray(model.raw_output(X), np.float64)
    network = network_from_estimator(estimator)
    return agreement(network, outputs, network.forward(X))


@pytest.mark.parametrize("precision", LABELS)
@pytest.mark.parametrize("name", TASKS)
def test_task_keeps_its_labels_or_values(
    tmp_path: Path, toolkit: Toolkit, name: str, precision: str, record_property: Any
) -> None:
    estimator, X = TASKS[name]
    curved = estimator.activation in ("tanh", "logistic")
    found = converted(tmp_path / "model.rknn", estimator, X, toolkit, precision=precision)
    if precision != "int16":
        beside = plain(estimator, X, toolkit, precision)
        record_property("plain", beside.r2 if beside.clear_labels is None else beside.clear_labels)
    if found.r2 is not None:
        assert found.r2 >= R2[precision, curved]
    else:
        assert found.clear_labels is not None
        assert found.clear_labels >= LABELS[precision]
