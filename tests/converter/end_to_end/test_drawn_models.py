"""Models and pipelines of every kind: a bundle within its bound of scikit-learn, or a typed refusal."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

import scirknn
import virtual_npu
from rknn_harness.verdicts.head_bounds import bound_through_head
from rknn_harness.verdicts.reference import Answer, Reference
from scirknn.bundle import read_bundle
from sklearn2rknn import (
    CheckWarning,
    ConversionOptions,
    ExampleInputWarning,
    Sklearn2RknnError,
    Toolkit,
    convert,
    network_from_estimator,
)
from sklearn2rknn.checking.file_bound import file_bound
from sklearn2rknn.passes.prepare_network import prepare_network
from tests.converter.fitted import ACTIVATIONS, KINDS, fit
from tests.converter.fitted_pipelines import ALL_KINDS, mixed, numeric, retargeted
from tests.counts import counted

Drawn = tuple[Any, npt.NDArray[Any]]


@st.composite
def odd(draw: st.DrawFn) -> Drawn:
    """Draw a perceptron whose weights and features have sizes far from 1, each of its own."""
    hidden = tuple(draw(st.lists(st.integers(1, 9), max_size=3)))
    estimator, X = fit(
        draw(st.sampled_from(KINDS)),
        n_features=draw(st.integers(1, 17)),
        hidden=hidden,
        activation=draw(st.sampled_from(ACTIVATIONS)),
        seed=draw(st.integers(0, 2**16)),
        dtype=draw(st.sampled_from([np.float64, np.float64, np.float32])),
    )
    exponents = st.sampled_from([0, 0, 0, 1, -1, 2, -2, 4, -4, 6, -6, -9, 9])
    # Features of another size and place, with the weights that a network for them would have ...
    size, place = 10.0 ** draw(exponents), draw(st.sampled_from([0.0, 0.0, 1.0, -30.0, 1e4]))
    dtype = X.dtype
    X = ((X + place) * size).astype(dtype)
    estimator.intercepts_[0] -= (place * estimator.coefs_[0].sum(axis=0)).astype(dtype)
    estimator.coefs_[0] /= dtype.type(size)
    # ... and weights as no training leaves them.
    for weights, bias in zip(estimator.coefs_, estimator.intercepts_, strict=True):
        factor = dtype.type(10.0 ** draw(exponents))
        weights *= factor
        bias *= factor
    return estimator, X


def judged(model: Any, estimator: Any, X: npt.NDArray[Any], bound: npt.NDArray[np.float64]) -> None:
    """Compare what a bundle predicts with scikit-learn, given a bound on the output before the head."""
    network = network_from_estimator(estimator)
    outputs = network.forward(X)
    predictions = estimator.predict(X)
    probabilities = estimator.predict_proba(X) if network.task != "regressor" else None
    answer = Answer(outputs, predictions, probabilities)
    truth = Reference(answer, network.task, network.head, network.classes, (), X)
    with np.errstate(invalid="ignore"):
        carried = bound_through_head(truth, bound)
        allowed, settled = carried.error, carried.settled
    allowed = np.nan_to_num(allowed, nan=np.inf, posinf=np.inf)  # what overflows behind exp
    found = model.predict(X)
    if probabilities is None:
        # exp of a large output is infinite for both.
        with np.errstate(invalid="ignore"):
            missed = np.where(found == predictions, 0.0, np.abs(found - predictions))
        assert (missed <= allowed).all(), (missed - allowed).max()
        return
    missed = np.abs(model.predict_proba(X) - probabilities)
    assert (missed <= allowed).all(), (missed - allowed).max()
    np.testing.assert_array_equal(found[settled], predictions[settled])


@pytest.mark.timeout(900)  # half a minute on two free cores
@settings(max_examples=counted(200), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(odd(), numeric(ALL_KINDS), mixed(ALL_KINDS), retargeted()),
    st.sampled_from(["float16", "float16", "float16", "int8", "int16"]),
    st.booleans(),
    st.sampled_from([1, 7, 64, (1, 64)]),
    st.sampled_from(["auto", "auto", "single", "double"]),
    st.sampled_from(["refined", "plain"]),
)
def test_every_drawn_model_keeps_its_bound_or_is_refused(
    toolkit: Toolkit,
    drawn: Drawn,
    precision: str,
    example: bool,
    batch_size: Any,
    accuracy: str,
    activation: str,
) -> None:
    estimator, X = drawn
    accuracy = accuracy if precision == "float16" else "auto"
    options = ConversionOptions(accuracy=accuracy, activation=activation)
    rows = X if example or precision != "float16" else None
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", ExampleInputWarning)
        warnings.simplefilter("ignore", CheckWarning)
        path = Path(folder) / "model.rknn"
        try:
            report = convert(
                estimator,
                path,
                precision=precision,
                example_input=rows,
                batch_size=batch_size,
                toolkit=toolkit,
                options=options,
            )
        except Sklearn2RknnError as error:
            event(f"{precision}: {type(error).__name__}")
            note(f"refused: {error}")
            assert list(Path(folder).iterdir()) == []
            return
        if "unavailable" in report.check.to_json()["virtual_npu"]:
            # A register that is not modelled; the simulator decides.
            event(f"{precision}: {report.check.to_json()['virtual_npu']['unavailable']}")
            assert report.check.to_json()["simulator"]["bound_share"] <= 1.0
            return
        network = network_from_estimator(estimator)
        inner = network.without_host_steps()
        prepared = None if rows is None else network.prepare(rows)
        given_network = prepare_network(inner, prepared, precision, options).with_host_steps_of(network)
        files: list[Any] = [None]
        if precision != "float16":
            files = [virtual_npu.read(file) for _, file in read_bundle(path).files()]
        # Files of several sizes are calibrated apart; a row may pass through any of them.
        bounds = [file_bound(network, given_network, X, file) for file in files]
        assert all(bound is not None for bound in bounds)
        bound: npt.NDArray[np.float64] = np.max([each for each in bounds if each is not None], axis=0)
        assert rows is None or np.isfinite(bound).all()
        event(f"{precision}: " + ("within its bound" if np.isfinite(bound).all() else "no bound"))
        with scirknn.load(path, device="virtual") as model:
            try:
                judged(model, estimator, X, bound)
            except scirknn.OutputRangeError:
                # Rows of unknown range are refused when they are met.
                assert rows is None
                assert not np.isfinite(bound).all()
