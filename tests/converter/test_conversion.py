"""Estimator to bundle through the real toolkit, judged on the register program of the file itself."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import pytest
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_iris,
    load_linnerud,
    load_wine,
    make_friedman1,
)
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

import scirknn
import virtual_npu
from scirknn.bundle import read_bundle
from sklearn2rknn import (
    CheckError,
    ConversionError,
    ConversionOptions,
    Toolkit,
    UnsupportedModelError,
    convert,
    network_from_estimator,
    open_toolkit,
)
from tests.converter.fitted import KINDS, fit


def trained(estimator: Any, X: npt.NDArray[Any], y: npt.NDArray[Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X, y)


def on_the_file(path: Path, X: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Compute the outputs before the head as the runtime does: from bundle and file alone."""
    return prepared_on_the_file(path, read_bundle(path).prepare(np.asarray(X, np.float64)))


def prepared_on_the_file(path: Path, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    bundle = read_bundle(path)
    variant, file = next(bundle.files())
    npu = virtual_npu.VirtualNpu(virtual_npu.read(file))
    rows = np.zeros((-(-len(values) // variant.samples) * variant.samples, bundle.channels), np.float32)
    rows[: len(values), : values.shape[1]] = values
    outputs = [
        npu.run(part.T[None, :, :, None])[0, :, :, 0].T
        for part in rows.reshape(-1, variant.samples, bundle.channels)
    ]
    return bundle.finish(np.concatenate(outputs)[: len(values)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("precision", ["float16", "int8", "int16"])
def test_every_kind_in_every_precision(tmp_path: Path, toolkit: Toolkit, kind: str, precision: str) -> None:
    estimator, X = fit(kind, hidden=(9, 6), activation="tanh")
    path = tmp_path / "model.rknn"
    report = convert(estimator, path, precision=precision, example_input=X, batch_size=16, toolkit=toolkit)
    network = network_from_estimator(estimator)
    reference = network.forward(X)
    # int16: errors of 3e-4 an activation, and steps of 2**-15. int8: steps of 1/255 of each tensor's range
    # through 3 layers, a few of them wrong; float16: the table's tanh is off by 5e-3 at most
    # (it stops at 0.9952), times the weights of the layers behind it, of norm below 3.
    spread = np.ptp(reference, axis=0).max()
    tolerance = {"int16": 0.01 * spread, "int8": 0.1 * spread, "float16": 3 * 5e-3 * 3}[precision]
    assert report.placement["cpu"] == 0
    np.testing.assert_allclose(on_the_file(path, X), reference, atol=tolerance)
    bundle = read_bundle(path)
    assert bundle.probe is not None
    answer = prepared_on_the_file(path, bundle.probe.inputs)
    assert np.abs(answer - bundle.probe.outputs).max() <= bundle.probe.error
    own = bundle.prepare(X).astype(np.float32)
    assert not (bundle.probe.inputs[:, None] == own).all(axis=2).any()  # nobody's data
    with scirknn.load(path, device="virtual") as model:  # a list takes the general path
        np.testing.assert_array_equal(model.raw_output(X[:1]), model.raw_output(X[:1].tolist()))


def scaled(loaded: tuple[Any, Any]) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    return StandardScaler().fit_transform(loaded[0]), loaded[1]


CLASSIFIERS: dict[str, tuple[Callable[[], Any], tuple[int, ...], str]] = {
    "iris": (lambda: load_iris(return_X_y=True), (100,), "relu"),
    "wine": (lambda: scaled(load_wine(return_X_y=True)), (32, 16), "tanh"),
    "digits": (lambda: scaled(load_digits(return_X_y=True)), (64,), "relu"),
    "breast cancer": (lambda: scaled(load_breast_cancer(return_X_y=True)), (20, 10, 5), "logistic"),
}


@pytest.mark.parametrize("name", CLASSIFIERS)
@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_classifiers_keep_their_labels(tmp_path: Path, toolkit: Toolkit, name: str, precision: str) -> None:
    load, hidden, activation = CLASSIFIERS[name]
    X, y = load()
    estimator = trained(MLPClassifier(hidden, activation=activation, max_iter=150, random_state=0), X, y)
    path = tmp_path / "model.rknn"
    report = convert(estimator, path, precision=precision, example_input=X, batch_size=64, toolkit=toolkit)
    network = network_from_estimator(estimator)
    labels = estimator.classes_[network.predict(on_the_file(path, X))]
    # The requirement on int8; float16 loses ties only.
    assert np.mean(labels == estimator.predict(X)) >= (0.98 if precision == "int8" else 0.995)
    assert report.check.to_json()["virtual_npu"]["labels"] >= 0.98


@pytest.mark.parametrize(
    ("load", "activation"),
    [
        (lambda: scaled(load_linnerud(return_X_y=True)), "identity"),
        (lambda: make_friedman1(300, random_state=0), "tanh"),
        (lambda: (np.linspace(-3, 3, 300)[:, None], 1e5 + 1e4 * np.sin(np.linspace(-3, 3, 300))), "relu"),
    ],
    ids=["linnerud", "friedman1", "large sine"],
)
def test_regressors_keep_their_values(tmp_path: Path, toolkit: Toolkit, load: Any, activation: str) -> None:
    X, y = load()
    estimator = trained(
        MLPRegressor(hidden_layer_sizes=(32,), activation=activation, solver="lbfgs", random_state=0), X, y
    )
    predicted = estimator.predict(X).reshape(len(X), -1)
    for precision in ("float16", "int8"):
        path = tmp_path / f"{precision}.rknn"
        convert(estimator, path, precision=precision, example_input=X, batch_size=64, toolkit=toolkit)
        missed = ((on_the_file(path, X) - predicted) ** 2).sum(axis=0)
        r2 = 1 - missed / ((predicted - predicted.mean(axis=0)) ** 2).sum(axis=0)
        assert r2.min() >= (0.97 if precision == "int8" else 0.999)


def test_the_snippets_of_the_article_convert(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, toolkit: Toolkit
) -> None:
    monkeypatch.chdir(tmp_path)
    X, y = load_iris(return_X_y=True)
    X_train = X[np.random.default_rng(0).permutation(150)][:112]
    clf = trained(MLPClassifier(max_iter=200, random_state=0), X, y)
    convert(clf, "iris.rknn", "rk3588")
    convert(clf, "iris_int8.rknn", "rk3588", quantization=True, example_input=X_train[:100])
    assert read_bundle("iris.rknn").precision == "float16"
    assert read_bundle("iris_int8.rknn").precision == "int8"


def test_weights_for_the_cpu_can_be_left_out(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, X = fit("softmax")
    options = ConversionOptions(cpu_weights="off", check="off")
    report = convert(estimator, tmp_path / "m.rknn", example_input=X, toolkit=toolkit, options=options)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["m.rknn", "m.rknn.json"]
    assert report.break_even is None
    with pytest.raises(scirknn.BundleError, match="has no weights for the CPU"):
        scirknn.load(tmp_path / "m.rknn", device="cpu")


def test_bundle_says_what_it_is(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, X = fit("softmax", n_features=5)
    path = tmp_path / "model.rknn"
    report = convert(estimator, path, example_input=X, batch_size=[16, 1], toolkit=toolkit)
    bundle = read_bundle(path)
    assert [(each.file, each.samples) for each in bundle.variants] == [
        ("model.n1.rknn", 1),
        ("model.rknn", 16),
    ]
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "model.n1.rknn",
        "model.npz",
        "model.rknn",
        "model.rknn.json",
    ]
    assert (bundle.channels, bundle.n_features_in, bundle.n_outputs) == (8, 5, 3)
    assert bundle.cpu is not None
    assert (bundle.cpu.widths[0], bundle.cpu.widths[-1]) == (5, 3)
    details = bundle.details
    assert sorted(details["estimate"]) == ["1", "16"]
    assert report.break_even == 0  # some hundred products a row
    assert "The CPU is likely faster for any number of" in str(report)
    assert details["toolkit"]["version"] == "2.3.2"
    assert details["toolkit"]["lock_sha256"] == toolkit.environment.to_json()["lock_sha256"]
    assert details["placement"]["npu"] == 2
    assert [where for _, _, where in details["placement"]["layers"]] == ["NPU", "NPU"]
    assert details["check"]["rows"] == 40
    assert details["source"]["weights_digest"] == network_from_estimator(estimator).weights_digest()
    assert json.loads(report.to_json())["placement"] == details["placement"]
    text = report.details()
    for said in (
        "model.rknn",
        "5-5-3",
        "float16 for rk3588",
        "2 on the NPU, 0 on the CPU",
        "40 rows of example_input",
    ):
        assert said in text


@pytest.mark.parametrize(
    ("precision", "platform"),
    [("float16", "rk3588"), ("int8", "rk3588"), ("int16", "rk3588"), ("int8", "rk3576")],
)
def test_same_model_has_the_same_content_in_every_process(
    tmp_path: Path, toolkit: Toolkit, precision: str, platform: str
) -> None:
    estimator, X = fit("softmax", hidden=(20, 9), activation="tanh")
    other, other_rows = fit("one output", activation="relu", n_features=7)
    found: list[list[str]] = []

    def digests(toolkit: Toolkit) -> None:
        for model, rows in ((estimator, X), (other, other_rows), (estimator, X)):
            path = tmp_path / f"{len(found)}.rknn"
            convert(
                model,
                path,
                platform,
                precision=precision,
                example_input=rows,
                batch_size=(16, 2),
                toolkit=toolkit,
                options=ConversionOptions(check="off"),
            )
            found.append([variant.content_digest for variant in read_bundle(path).variants])

    digests(toolkit)
    with Toolkit(toolkit.environment, isolation="job") as fresh:
        digests(fresh)
    assert found[0] == found[2] == found[3] == found[5]
    assert found[1] == found[4] != found[0]


@pytest.mark.parametrize("precision", ["float16", "int8", "int16"])
@pytest.mark.parametrize("n_features", [3, 8])
@pytest.mark.parametrize("size", [1.0, 1e-20])
def test_a_constant_network_keeps_its_outputs(
    tmp_path: Path, toolkit: Toolkit, precision: str, n_features: int, size: float
) -> None:
    estimator, X = fit("softmax", n_features=n_features)
    estimator.coefs_[1] = np.zeros_like(estimator.coefs_[1])
    estimator.intercepts_[1] *= size
    path = tmp_path / "model.rknn"
    convert(estimator, path, precision=precision, example_input=X, toolkit=toolkit)
    np.testing.assert_allclose(
        on_the_file(path, X), network_from_estimator(estimator).forward(X), rtol=2e-3, atol=1e-6
    )


@pytest.mark.parametrize("platform", ["rk3562", "rk3566", "rk3568", "rk3576"])
@pytest.mark.parametrize(
    ("precision", "activation"),
    [("float16", "relu"), ("float16", "tanh"), ("int8", "relu"), ("int8", "logistic"), ("int16", "tanh")],
)
def test_other_chips_end_on_the_virtual_npu(
    tmp_path: Path, toolkit: Toolkit, platform: str, precision: str, activation: str
) -> None:
    estimator, X = fit("softmax", hidden=(20, 9), activation=activation)
    path = tmp_path / "model.rknn"
    report = convert(estimator, path, platform, precision=precision, example_input=X, toolkit=toolkit)
    found = report.check.to_json()["virtual_npu"]
    assert found["labels"] >= (0.95 if precision == "int8" else 0.99)
    assert found["bound_share"] <= 1
    assert report.placement["cpu"] == 0
    assert read_bundle(path).variants[0].content_digest


def test_other_chips_say_what_is_not_known(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, X = fit("softmax")
    path = tmp_path / "model.rknn"
    report = convert(estimator, path, "rv1106", quantization=True, example_input=X, toolkit=toolkit)
    assert report.check.to_json()["simulator"]["labels"] > 0.9
    assert "unavailable" in report.check.to_json()["virtual_npu"]
    assert re.search(r"virtual NPU +not run: ", report.details())
    assert "placement not known" in report.details()
    assert "placement of its layers not known" in str(report)
    assert read_bundle(path).variants[0].content_digest == ""


def test_a_width_of_one_and_one_feature_keep_their_bias(tmp_path: Path, toolkit: Toolkit) -> None:
    # A fan-in of 1 is where the toolkit's Gemm loses its bias.
    estimator, X = fit("one output", n_features=1, hidden=(1, 1))
    estimator.intercepts_[0][:] = 0.7
    path = tmp_path / "model.rknn"
    convert(estimator, path, example_input=X, toolkit=toolkit)
    np.testing.assert_allclose(on_the_file(path, X)[:, 0], estimator.predict(X), atol=2e-3)


def test_large_features_are_scaled_by_the_example_input(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, X = fit("softmax", max_iter=30)
    estimator.coefs_[0] /= 1e7
    X = X * 1e7
    path = tmp_path / "model.rknn"
    convert(estimator, path, example_input=X, toolkit=toolkit)
    np.testing.assert_allclose(on_the_file(path, X), network_from_estimator(estimator).forward(X), atol=2e-2)


def test_infinite_outputs_are_not_written(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, _ = fit("softmax", hidden=(5, 4))
    for weights in estimator.coefs_:
        weights *= 5e3
    with pytest.raises(CheckError, match=r"NaN or infinite.*example_input"):
        convert(estimator, tmp_path / "model.rknn", toolkit=toolkit)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("runs", [False, True])
def test_a_model_that_predicts_otherwise_is_refused_whether_or_not_a_toolkit_runs(
    tmp_path: Path, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, runs: bool
) -> None:
    X, y = load_iris(return_X_y=True)
    model = trained(MLPClassifier((8,), max_iter=20, random_state=0), X, y)
    with Toolkit(toolkit.environment) as own:
        if runs:
            convert(model, tmp_path / "before.rknn", toolkit=own, example_input=X)
        with monkeypatch.context() as changed:
            changed.setattr(MLPClassifier, "predict", lambda self, X: np.full(len(X), 7))
            with pytest.raises(UnsupportedModelError, match="something other than its weights do"):
                convert(model, tmp_path / "refused.rknn", toolkit=own, example_input=X)
        assert not own.is_running
        assert not list(tmp_path.glob("refused*"))
        convert(model, tmp_path / "after.rknn", toolkit=own, example_input=X)


def test_failed_conversion_leaves_the_old_bundle(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, _ = fit("softmax")
    path = tmp_path / "model.rknn"
    convert(estimator, path, toolkit=toolkit)
    before = read_bundle(path)
    with pytest.raises(ConversionError, match="longer than"):
        convert(estimator, path, toolkit=toolkit, options=ConversionOptions(timeout=0.001))
    assert read_bundle(path).variants == before.variants


def test_a_file_with_a_value_past_its_register_is_not_written(
    tmp_path: Path, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sklearn2rknn.options.LARGEST_BATCH_SIZE", 4096)
    estimator, X = fit("softmax")
    with pytest.raises(ConversionError, match="DATAIN_HEIGHT = 2048 is more than its 11 bits hold"):
        convert(estimator, tmp_path / "model.rknn", example_input=X, batch_size=2048, toolkit=toolkit)
    assert not list(tmp_path.iterdir())


def test_a_pass_at_its_fields_limit_is_in_the_report(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, X = fit("softmax")
    report = convert(estimator, tmp_path / "model.rknn", example_input=X, batch_size=4, toolkit=toolkit)
    assert not report.full_cubes
    assert "at the limit" not in report.details()
    full = attrs.evolve(report, full_cubes=("Mul:square0",))
    assert "Mul:square0: passes over 8,191 lines or channels" in full.details()


def test_a_constant_of_many_inputs_stays_on_the_npu(tmp_path: Path) -> None:
    """2.5.0 splits so many inputs, and lets go of parts whose weights are 0."""
    estimator, X = fit("one output", n_features=4100, hidden=(1,))
    estimator.coefs_[0][:] = 0.0
    path = tmp_path / "model.rknn"
    with open_toolkit("2.5.0") as toolkit:
        report = convert(estimator, path, example_input=X, toolkit=toolkit)
    assert report.placement["cpu"] == 0
    reference = network_from_estimator(estimator).forward(X)
    np.testing.assert_allclose(on_the_file(path, X), reference, rtol=2**-10)  # float16 of a constant
