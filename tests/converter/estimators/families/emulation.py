"""A model as its file computes it, without the toolkit: numpy's float16, and the runtime's own host steps."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import attrs
import numpy as np
from sklearn import datasets
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.preprocessing import StandardScaler

from scirknn.answers import METHODS, SEARCHES, answer, final_values, responses_of, takes_rows
from scirknn.arrays import Array, Float32Array, Floats
from scirknn.bundle import Bundle, Variant
from scirknn.devices.core_pool import Contexts
from scirknn.devices.open_model import OpenModel
from scirknn.devices.protocol import Session
from scirknn.devices.runtimes import Runtime
from scirknn.estimators.load import open_bundle
from scirknn.estimators.methods import Methods
from scirknn.steps.step import carry_steps
from sklearn2rknn import network_from_estimator
from sklearn2rknn.checking.file_bound import file_bound
from sklearn2rknn.network.bundle_fields import bundle_fields
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.onnx_graph import input_channels
from sklearn2rknn.passes.float16_pairs import float16_outputs
from sklearn2rknn.passes.prepare_network import prepare_network

__all__ = [
    "Emulated",
    "assert_exact",
    "assert_same_on_host",
    "assert_within_bound",
    "badly_scaled",
    "fitted",
    "load",
    "offered_methods",
    "scaled",
]

LAST_BITS = 1e-12
"""Of numbers that two libraries compute in float64."""


def load(name: str) -> tuple[Floats, Array]:
    """Return a data set's X and y; ``"wine bad"`` has columns of very different sizes and offsets."""
    plain, _, bad = name.partition(" ")
    X, y = getattr(datasets, f"load_{plain}")(return_X_y=True)
    return (badly_scaled(X) if bad else X), y


def scaled(name: str) -> tuple[Floats, Array]:
    """Return up to 300 rows of a data set, standardized and within 8 deviations."""
    X, y = load(name)
    return StandardScaler().fit_transform(X)[:300].clip(-8.0, 8.0), y[:300]


def badly_scaled(X: Floats) -> Floats:
    """Return columns times 1 to 1e5, some of them far from 0."""
    random = np.random.default_rng(1)
    factor = 10.0 ** random.uniform(0, 5, X.shape[1])
    offset = np.where(random.random(X.shape[1]) < 0.3, 20 * factor * X.std(axis=0), 0.0)
    return np.asarray(X * factor + offset)


def offered_methods(estimator: Any) -> set[str]:
    """Return the methods of an estimator that a loaded model could have."""
    return {name for name in METHODS if hasattr(estimator, name)}


@attrs.frozen
class _Session(Session):
    """The NPU with the emulated layers of a network, which has no float16 pairs."""

    layers: Network

    def run(self, rows: Float32Array) -> Float32Array:
        width = len(self.layers.layers[0].weights)
        return float16_outputs(self.layers, rows[:, :width].astype(np.float64)).astype(np.float32)

    def close(self) -> None:
        pass


@attrs.frozen(eq=False)
class Emulated:
    """What a loaded model of an estimator answers."""

    estimator: Any
    source: Network
    prepared: Network
    layers: Network

    @classmethod
    def convert(cls, estimator: Any, X: Array, rows: int = 300) -> Emulated:
        """Read an estimator and prepare its network as a conversion does."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            source = network_from_estimator(estimator)
        plain = source.without_host_steps()
        prepared = prepare_network(plain, source.prepare(X[:rows]), "float16")
        return cls(estimator, source, prepared.with_host_steps_of(source), prepared)

    @property
    def methods(self) -> set[str]:
        return set(responses_of(self.source))

    def exact(self, method: str, X: Array) -> Array:
        """Return what a method answers in float64."""
        return self._answer(method, self.source.forward(X), X)

    def __call__(self, method: str, X: Array) -> Array:
        """Return what a method answers in float16."""
        return self._answer(method, float16_outputs(self.prepared, X), X)

    def bound(self, X: Array) -> Floats:
        """Return the derived bound of the outputs' error."""
        bound = file_bound(self.source.without_host_steps(), self.layers, self.source.prepare(X))
        assert bound is not None
        return bound

    @contextmanager
    def loaded(self) -> Iterator[Methods]:
        """Open the model as a bundle is opened, with the emulated NPU behind it."""
        network, samples = self.prepared, 8
        bundle = Bundle(
            path=Path("model.rknn"),
            **bundle_fields(network),
            channels=input_channels(network),
            precision="float16",
            variants=(Variant("model.rknn", samples, ""),),
            details={},
        )
        session = _Session(attrs.evolve(self.layers.without_host_steps(), output=None))
        contexts = Contexts("model.rknn", [{samples: session}])
        model_files = OpenModel(contexts, Runtime("virtual", "emulated"))
        opened = patch("scirknn.networks.open_networks.open_contexts", return_value=model_files)
        with opened, open_bundle(bundle, device="virtual") as model:
            yield model

    def _answer(self, method: str, outputs: Floats, X: Array) -> Array:
        rows = self.source.expand(X)
        return answer(self.source, method, final_values(self.source, outputs, rows), rows)


def assert_exact(emulated: Emulated, X: Array, tolerance: float = 1e-9) -> None:
    """Assert that methods, shapes, dtypes and the float64 network's numbers are scikit-learn's."""
    model = emulated.estimator
    assert emulated.methods == offered_methods(model[-1] if hasattr(model, "steps") else model)
    for method in emulated.methods - set(SEARCHES):
        expected, exact = getattr(model, method)(X), emulated.exact(method, X)
        assert (exact.shape, exact.dtype) == (expected.shape, expected.dtype), method
        if expected.dtype.kind == "f":
            np.testing.assert_allclose(
                exact, expected, rtol=0, atol=tolerance * max(1.0, np.abs(expected).max())
            )
        else:
            np.testing.assert_array_equal(exact, expected)


def assert_within_bound(emulated: Emulated, X: Array) -> None:
    """Assert that float16 answers lie within the bound that the steps carry on."""
    source, rows = emulated.source, emulated.source.expand(X)
    plain, prepared = source.without_host_steps(), emulated.prepared
    is_behind = source.features or takes_rows(source)
    prepared = attrs.evolve(
        prepared.without_host_steps(), input=prepared.scale if is_behind else prepared.input
    )
    exact, bound = source.forward(X), file_bound(plain, prepared, rows)
    assert bound is not None
    values, error = carry_steps(source.epilogue, exact, bound, rows)
    given = final_values(source, float16_outputs(emulated.prepared, X), rows)
    for steps in ((), *responses_of(source).values()):
        expected, reach = carry_steps(steps, values, error)
        answers, _ = carry_steps(steps, given, np.zeros_like(given))
        assert (np.abs(answers - expected) <= reach * (1 + 1e-9) + 1e-9 * np.abs(expected).max()).all()


def fitted(model: Any, X: Array, y: Array) -> Any:
    """Return a copy of a model, fitted without warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if isinstance(model, FrozenEstimator):
            return FrozenEstimator(clone(model.estimator).fit(X, y))
        return clone(model).fit(X, y)


def assert_same_on_host(model: Any, X: Array) -> None:
    """Assert that a network without layers answers as scikit-learn does, labels to the bit."""
    network = network_from_estimator(model)
    assert not network.layers
    values = final_values(network, network.forward(X), network.expand(X))
    assert set(responses_of(network)) == offered_methods(model)
    for method in responses_of(network):
        ours, theirs = answer(network, method, values), getattr(model, method)(X)
        assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype), method
        if ours.dtype.kind == "f":
            np.testing.assert_allclose(ours, theirs, rtol=LAST_BITS, atol=LAST_BITS)
        else:
            np.testing.assert_array_equal(ours, theirs)
