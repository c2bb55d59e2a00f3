"""24 classifiers on features of sizes from 1e-3 to 1e5, some far from 0: the plain conversion's downfall."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

import scirknn
from sklearn2rknn import Toolkit, ToolkitNotInstallableError, convert, open_toolkit
from tests.counts import FULL

SEEDS = range(24 if FULL else 4)
TIE = 0.01  # rows whose two likeliest classes are nearer than that are ties


@functools.cache
def badly_scaled(seed: int) -> tuple[Any, npt.NDArray[np.float64]]:
    """Return a classifier fitted to features that nobody scaled, and these; each activation six times."""
    rng = np.random.default_rng(seed)
    activation = ("identity", "logistic", "tanh", "relu")[seed % 4]
    n, k = int(rng.integers(4, 25)), int(rng.integers(2, 6))
    hidden = tuple(int(width) for width in rng.integers(4, 65, rng.integers(1, 4)))
    X, y = make_classification(
        400, n, n_informative=max(3, n // 2), n_redundant=0, n_classes=k, n_clusters_per_class=1,
        random_state=seed,
    )  # fmt: skip
    size = 10.0 ** rng.uniform(-3, 5, n)
    offset = rng.uniform(-1, 1, n) * 10.0 ** rng.uniform(0, 5, n)
    X = X * size / np.abs(X).max(axis=0) + offset * (rng.random(n) < 0.5)
    solver = "lbfgs" if seed % 8 < 4 else "adam"
    estimator = MLPClassifier(hidden, activation=activation, solver=solver, max_iter=60, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X, y), X


@pytest.fixture(scope="module", params=["2.2.0", "2.3.0", "2.3.2", "2.5.0"])
def any_toolkit(request: pytest.FixtureRequest) -> Iterator[Toolkit]:
    try:
        opened = open_toolkit(request.param)
    except ToolkitNotInstallableError as error:
        pytest.skip(f"needs rknn-toolkit2 {request.param}: {error}")
    with opened:
        yield opened


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_are_scikit_learns(tmp_path: Path, any_toolkit: Toolkit, seed: int) -> None:
    estimator, X = badly_scaled(seed)
    path = tmp_path / "model.rknn"
    convert(estimator, path, example_input=X, batch_size=64, toolkit=any_toolkit)
    with scirknn.MLPClassifier(path, device="virtual") as model:
        assert np.isfinite(model.raw_output(X)).all()
        expected = estimator.predict_proba(X)
        top = np.sort(expected, axis=1)
        clear = top[:, -1] - top[:, -2] > TIE
        equal = model.predict(X) == estimator.predict(X)
        # 99.9 % of 400 rows are all of them.
        assert equal[clear].all()
        # Logits reach 5e4. Measured 2.0e-3; the rest of a float16 logit of 4 is 2**-9.
        assert np.abs(model.predict_proba(X) - expected).max() < 5e-3
