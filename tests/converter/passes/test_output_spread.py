"""Outputs of integers over one range, and one that hardly moves beside them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.decomposition import PCA

import scirknn
from sklearn2rknn import ConversionOptions, Toolkit, convert
from sklearn2rknn.passes import scaling

X = np.random.default_rng(0).normal(size=(400, 6))
X[:, 1] = X[:, 0]
MODEL = PCA().fit(X)  # the last component's scores are roundings
SCORES = MODEL.transform(X)


def largest_median_error(path: Path, toolkit: Toolkit, precision: str) -> float:
    options = ConversionOptions(check="warn", check_input=X)
    convert(MODEL, path, precision=precision, example_input=X, toolkit=toolkit, options=options)
    with scirknn.load(path, device="virtual") as loaded:
        return float(np.median(np.abs(loaded.transform(X) - SCORES), axis=0).max())


@pytest.mark.parametrize(("precision", "bits"), [("int8", 8), ("int16", 16)])
@pytest.mark.filterwarnings("ignore::sklearn2rknn.CheckWarning")
def test_an_output_that_hardly_moves_costs_the_others_nothing(
    tmp_path: Path, toolkit: Toolkit, precision: str, bits: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 2 * np.abs(SCORES).max() / 2**bits  # int16's are up to twice as wide, and inputs are rounded too
    assert largest_median_error(tmp_path / "m.rknn", toolkit, precision) < 4 * steps
    monkeypatch.setattr(scaling, "INPUTS_ROUNDING", np.inf)
    assert largest_median_error(tmp_path / "n.rknn", toolkit, precision) > 8 * steps
