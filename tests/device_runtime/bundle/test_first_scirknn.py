"""Bundles of the first scirknn: models in its form, made here, and metadata of every kind."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

import scirknn

toolkits = pytest.importorskip(
    "sklearn2rknn.toolkit.toolkit", reason="sklearn2rknn is not installed: no converter"
)

ROWS = np.random.default_rng(0).normal(size=(60, 6))


@pytest.fixture(scope="module")
def toolkit() -> Iterator[Any]:
    from sklearn2rknn.errors import ToolkitError

    try:
        opened = toolkits.open_toolkit("2.3.2")
        with opened:
            yield opened
    except ToolkitError as error:
        pytest.skip(f"rknn-toolkit2 2.3.2 cannot be had on this machine: {error}")


def as_the_first_did(estimator: Any, samples: int | None) -> tuple[bytes, dict[str, Any]]:
    """Return an ONNX graph and metadata of the form that its README and its bundles show."""
    import onnx

    operators = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "softmax": "Softmax"}
    nodes, constants, current = [], [], "output0"
    last = len(estimator.coefs_) - 1
    for i, (weights, bias) in enumerate(zip(estimator.coefs_, estimator.intercepts_, strict=True)):
        constants.append(onnx.numpy_helper.from_array(weights.astype(np.float32), f"weight{i}"))
        constants.append(onnx.numpy_helper.from_array(bias.astype(np.float32), f"bias{i}"))
        nodes.append(onnx.helper.make_node("MatMul", [current, f"weight{i}"], [f"product{i}"]))
        current = f"sum{i}"
        nodes.append(onnx.helper.make_node("Add", [f"product{i}", f"bias{i}"], [current]))
        operator = operators.get(estimator.out_activation_ if i == last else estimator.activation)
        if operator:
            nodes.append(onnx.helper.make_node(operator, [current], [f"output{i + 1}"]))
            current = f"output{i + 1}"
    rows = samples or 1
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [rows, width])
        for name, width in (("output0", estimator.n_features_in_), (current, estimator.n_outputs_))
    ]
    graph = onnx.helper.make_graph(nodes, "scikit2rknn", ends[:1], ends[1:], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 14)], ir_version=8)
    metadata = {
        "input_shape": [samples, estimator.n_features_in_],
        "output_shape": [samples, estimator.n_outputs_],
        "mode": "classifier" if hasattr(estimator, "classes_") else "regressor",
    }
    if hasattr(estimator, "classes_"):
        metadata["classes"] = estimator.classes_.tolist()
    return model.SerializeToString(), metadata


def written(folder: Path, model: bytes, metadata: Any) -> Path:
    path = folder / "model.rknn"
    path.write_bytes(model)
    Path(f"{path}.json").write_text(json.dumps(metadata))
    return path


def fitted(kind: str) -> Any:
    rng = np.random.default_rng(1)
    X, label = rng.normal(size=(200, 6)), rng.integers(0, 3, 200)
    X[:, 0] += 2 * label
    targets = {
        "three classes": np.array(["low", "middle", "high"])[label],
        "two classes": label > 0,
        "multilabel": np.stack([label > 0, label > 1, label == 1], axis=1).astype(int),
        "one target": X[:, 0],
        "two targets": X[:, :2],
    }
    network = MLPRegressor if "target" in kind else MLPClassifier
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return network(hidden_layer_sizes=(16,), max_iter=60, random_state=0).fit(X, targets[kind])


@pytest.mark.parametrize("samples", [None, 8])
@pytest.mark.parametrize("kind", ["three classes", "two classes", "multilabel", "one target", "two targets"])
def test_its_bundles_answer_as_scikit_learn_does(
    kind: str, samples: int | None, toolkit: Any, tmp_path: Path
) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed: no graphs to convert")
    estimator = fitted(kind)
    graph, metadata = as_the_first_did(estimator, samples)
    path = written(tmp_path, toolkit.build(graph, config={"target_platform": "rk3588"}).rknn, metadata)
    bundle = scirknn.read_bundle(path)
    assert bundle.details["toolkit"] == {"version": "2.3.2", "target_platform": "rk3588", "model_format": 6}
    with scirknn.load(path, device="virtual") as model:
        for _ in range(2):  # its own second predict failed
            found, expected = model.predict(ROWS), estimator.predict(ROWS)
        assert found.shape == expected.shape
        assert found.dtype == expected.dtype
        if not isinstance(model, scirknn.MLPClassifier):
            # 22 products of order 4, each off by 2^-11 of itself.
            np.testing.assert_allclose(found, expected, atol=0.05)
            return
        ours, theirs = model.predict_proba(ROWS), estimator.predict_proba(ROWS)
        assert ours.shape == theirs.shape
        np.testing.assert_allclose(ours, theirs, atol=0.01)
        # Twice what probabilities may differ by, so that none of these labels may.
        clear = np.abs(theirs - 0.5).min(axis=1) > 0.02 if kind != "three classes" else _clear(theirs)
        np.testing.assert_array_equal(found[clear], expected[clear])
        assert clear.mean() > 0.5
        np.testing.assert_allclose(np.exp(model.predict_log_proba(ROWS)), ours, atol=1e-6)


def _clear(probabilities: Any) -> Any:
    first, second = np.sort(probabilities, axis=1)[:, [-1, -2]].T
    return first - second > 0.02


GOOD = {"input_shape": [1, 4], "output_shape": [1, 3], "mode": "classifier", "classes": [0, 1, 2]}


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"input_shape": [1, 4, 1, 1]}, r"'input_shape' is \[1, 4, 1, 1\], not rows and columns"),
        ({"input_shape": [1, True]}, "'input_shape'"),
        ({"output_shape": None}, "'output_shape' is None"),
        ({"output_shape": [1, 0]}, "'output_shape'"),
        ({"mode": "transformer"}, "'mode' is 'transformer'"),
        ({"classes": None}, "'classes' is no list"),
        ({"classes": [0, "one", 2]}, "'classes' is no list"),
        ({"classes": [0, 1]}, "2 classes for 3 outputs"),
    ],
)
def test_wrong_metadata_is_refused(changes: dict[str, Any], text: str, tmp_path: Path) -> None:
    with pytest.raises(scirknn.BundleFormatError, match=text):
        scirknn.read_bundle(written(tmp_path, b"exSoftmax13", {**GOOD, **changes}))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_metadata_is_read_or_refused(data: st.DataObject, tmp_path: Path) -> None:
    leaf = st.none() | st.booleans() | st.integers(-2, 5) | st.floats(allow_nan=False) | st.text(max_size=3)
    value = st.recursive(leaf, lambda inner: st.lists(inner, max_size=4), max_leaves=6)
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(GOOD)), value))
    try:
        bundle = scirknn.read_bundle(written(tmp_path, b"exSoftmax13", {**GOOD, **changes}))
    except scirknn.BundleFormatError:
        return
    assert bundle.n_features_in > 0
    assert (bundle.classes is None) == (bundle.task == "regressor")
