"""Graphs for comparison: other operators, and the head on the NPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

import scirknn
from scirknn.bundle import read_bundle
from sklearn2rknn import CheckError, ConversionOptions, OptionError, Toolkit, convert, open_toolkit
from tests.converter.fitted import fit


@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize("head", ["host", "npu"])
@pytest.mark.parametrize("form", ["conv", "matmul"])
@pytest.mark.parametrize(
    ("kind", "activation"), [("softmax", "tanh"), ("binary", "relu"), ("multilabel", "relu")]
)
def test_every_form_and_head_predicts(
    tmp_path: Path, toolkit: Toolkit, kind: str, activation: str, form: str, head: str, precision: str
) -> None:
    estimator, X = fit(kind, hidden=(9, 6), activation=activation)
    path = tmp_path / "model.rknn"
    report = convert(
        estimator,
        path,
        precision=precision,
        example_input=X,
        batch_size=(16, 3),
        toolkit=toolkit,
        options=ConversionOptions(form=form, head=head),
    )
    assert (report.form, report.head_on_npu) == (form, head == "npu")
    assert ("NPU" if head == "npu" else "host") in report.details().splitlines()[1]
    with scirknn.load(path, device="virtual") as model:
        assert isinstance(model, scirknn.MLPClassifier)
        assert (model.bundle.form, model.bundle.head_on_npu) == (form, head == "npu")
        probabilities, labels = model.predict_proba(X), model.predict(X)
    expected = estimator.predict_proba(X)
    # int8: steps of 1/255 of each tensor's range through 3 layers, the probabilities' own among them; a
    # probability moves by a quarter of its output's error. float16: see test_conversion, quartered too.
    tolerance = {"float16": 0.01, "int8": 0.05}[precision]
    np.testing.assert_allclose(probabilities, expected, atol=tolerance)
    if kind == "multilabel":
        clear = np.abs(expected - 0.5) > tolerance
        assert (labels == estimator.predict(X))[clear].all()
    else:
        top = np.sort(expected, axis=1)
        clear = top[:, -1] - top[:, -2] > 2 * tolerance
        assert (labels == estimator.predict(X))[clear].all()


def test_a_regressor_has_no_head_to_place(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, X = fit("one output")
    path = tmp_path / "model.rknn"
    assert not convert(
        estimator, path, example_input=X, toolkit=toolkit, options=ConversionOptions(head="npu")
    ).head_on_npu
    assert not read_bundle(path).head_on_npu


def test_large_outputs_stay_in_the_graph_with_their_head(tmp_path: Path, toolkit: Toolkit) -> None:
    # A host's map of outputs has no place behind a softmax.
    estimator, X = fit("softmax")
    for weights in (estimator.coefs_[-1], estimator.intercepts_[-1]):
        weights *= 1e4
    path = tmp_path / "model.rknn"
    for accuracy in ("single", "double"):
        convert(
            estimator,
            path,
            example_input=X,
            toolkit=toolkit,
            options=ConversionOptions(head="npu", accuracy=accuracy),
        )
        bundle = read_bundle(path)
        assert (bundle.output, bundle.output_parts) == (None, 1)


def narrow() -> tuple[MLPClassifier, np.ndarray]:
    """Return a classifier with a hidden layer of one unit, whose next layer has a large bias."""
    estimator, X = fit("softmax", hidden=(5, 1, 4), activation="relu")
    estimator.coefs_[1][:] = np.abs(estimator.coefs_[1])
    estimator.intercepts_[1][:] = 0.5
    estimator.intercepts_[2][:] = [2.0, -1.0, 1.5, 3.0]
    return estimator, X


@pytest.mark.parametrize("version", ["2.2.0", "2.3.0", "2.3.2", "2.5.0"])
def test_check_finds_the_bias_that_gemm_loses(tmp_path: Path, version: str) -> None:
    estimator, X = narrow()
    path = tmp_path / "model.rknn"
    with open_toolkit(version) as toolkit:
        # Features in two parts are several inputs, of which no bias is lost.
        options: dict[str, Any] = {"example_input": X, "toolkit": toolkit}
        if version == "2.5.0":
            convert(estimator, path, options=ConversionOptions(form="gemm", accuracy="single"), **options)
            return
        with pytest.raises(CheckError):
            convert(estimator, path, options=ConversionOptions(form="gemm", accuracy="single"), **options)
        assert not path.exists()
        convert(estimator, path, example_input=X, toolkit=toolkit, options=ConversionOptions(form="matmul"))


@pytest.mark.parametrize(
    ("kind", "options", "said"),
    [
        ("softmax", {"form": "einsum"}, "conv, matmul, gemm"),
        ("softmax", {"head": "gpu"}, "host, npu"),
        ("softmax", {"head": "npu", "toolkit": "1.5.0"}, "up to opset 12"),
        ("softmax", {"head": "npu", "target_platform": "rk3566"}, "places softmax on the CPU of rk3566"),
        ("poisson", {"head": "npu"}, "'exp' cannot be evaluated on the NPU"),
        ("softmax", {"target_platform": "rk3576", "toolkit": "1.6.0"}, "rk3562, rk3566, rk3568, rk3588"),
        ("softmax", {"precision": "int16", "toolkit": "2.1.0"}, "it can be float16, int8"),
    ],
)
def test_what_cannot_be_is_refused_before_a_toolkit_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, options: dict[str, Any], said: str
) -> None:
    monkeypatch.setenv("SKLEARN2RKNN_CACHE", str(tmp_path / "cache"))
    options = dict(options)
    path, form, head = tmp_path / "model.rknn", options.pop("form", "conv"), options.pop("head", "host")
    with pytest.raises(OptionError, match=said):
        convert(fit(kind)[0], path, options=ConversionOptions(form=form, head=head), **options)
    assert list(tmp_path.iterdir()) == []
