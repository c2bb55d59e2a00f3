"""Real data: each data set's network on the board, in each precision, and in several sizes of run."""

from __future__ import annotations

import pytest

from rknn_harness.case import dataset_case
from rknn_harness.datasets import DATASETS
from rknn_harness.suite import Suite


@pytest.mark.parametrize("name", DATASETS)
def test_dataset(suite: Suite, pytestconfig: pytest.Config, name: str, precision: str) -> None:
    case = dataset_case(name, precision, pytestconfig.option.toolkit, (64,))
    suite.require(suite.conduct(case))


@pytest.mark.parametrize("batch_size", [(1,), (7,), (1, 64), (1024,)], ids=str)
def test_samples_per_run(
    suite: Suite, pytestconfig: pytest.Config, batch_size: tuple[int, ...], precision: str
) -> None:
    case = dataset_case("iris", precision, pytestconfig.option.toolkit, batch_size)
    suite.require(suite.conduct(case))
