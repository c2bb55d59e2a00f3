"""Format 4: features, epilogue, responses and score in a bundle, and what they mean for older runtimes."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import SGDClassifier
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline

import scirknn
from scirknn.bundle import Bundle, Owner, metadata_path, read_bundle, write_bundle
from scirknn.bundle.arrays_file import arrays_path
from scirknn.steps.activations import Activation
from scirknn.steps.distances import Distances
from scirknn.steps.indicators import Above
from scirknn.steps.linear import Columns, Dense, Shift
from tests.device_runtime.bundle.metadata_edits import edit_metadata
from tests.device_runtime.conftest import MakeBundle

READ_BY_SCIRKNN_0_2_0 = 3
"""The newest format that the runtime of before reads; it refuses any newer."""

X = np.random.default_rng(0).normal(size=(30, 4))
EPILOGUE = (Dense(np.array([[1.0, 0.0], [0.0, 2.0], [1.0, 1.0]]), np.array([0.5, -0.5])),)


@pytest.fixture
def bundle(make_bundle: MakeBundle) -> Bundle:
    return read_bundle(make_bundle(MLPClassifier((6,), max_iter=3).fit(X, np.arange(30) % 3), (1, 8)))


@pytest.fixture
def regressor(make_bundle: MakeBundle) -> Bundle:
    y = np.stack([X[:, 0]] * 3, axis=1)
    return read_bundle(make_bundle(MLPRegressor(hidden_layer_sizes=(6,), max_iter=3).fit(X, y), (8,)))


def rewritten(bundle: Bundle, **changes: Any) -> Bundle:
    """Write a bundle with other values over itself, and read it."""
    models = {variant.file: path.read_bytes() for variant, path in bundle.files()}
    write_bundle(replace(bundle, **changes), models)
    return read_bundle(bundle.path)


def number_of(bundle: Bundle) -> int:
    return int(json.loads(metadata_path(bundle.path).read_text())["format"])


def test_what_needs_no_new_key_keeps_its_format_and_more_methods_need_none(bundle: Bundle) -> None:
    assert number_of(bundle) <= READ_BY_SCIRKNN_0_2_0
    methods = ("predict", "predict_proba", "predict_log_proba", "decision_function")
    more = rewritten(bundle, responses=dict.fromkeys(methods, ()))
    assert number_of(more) == number_of(bundle)
    assert not arrays_path(bundle.path).exists()
    with scirknn.load(more.path) as model:
        raw = model.raw_output(X)
        np.testing.assert_array_equal(model.decision_function(X), raw)


@pytest.mark.parametrize(
    "changes",
    [
        {"responses": {"predict": ()}},
        {"epilogue": (Shift((1.0, 2.0, 3.0)),)},
        {"score": "none"},
        {"head": "identity"},
        {"features": (Columns(0, 4),)},
        {"task": "clusterer", "responses": {"predict": (), "transform": ()}},
    ],
    ids=["fewer methods", "epilogue", "another score", "another head", "features", "another task"],
)
def test_what_an_older_runtime_would_answer_wrongly_has_a_format_that_it_refuses(
    bundle: Bundle, changes: dict[str, Any]
) -> None:
    assert number_of(rewritten(bundle, **changes)) > READ_BY_SCIRKNN_0_2_0


def test_methods_are_those_of_the_responses_and_missing_ones_say_so_as_python_does(bundle: Bundle) -> None:
    made = rewritten(bundle, responses={"predict": ()}, score="none", estimator="LinearSVC")
    with scirknn.load(made.path) as model:
        assert model.predict(X).shape == (30,)
        for name in ("predict_proba", "predict_log_proba", "decision_function", "transform", "score"):
            assert not hasattr(model, name)
            with pytest.raises(AttributeError, match=rf"'LinearSVC' object has no attribute '{name}'"):
                getattr(model, name)


@pytest.mark.parametrize("method", ["predict_proba", "predict_log_proba"])
def test_a_method_that_depends_on_parameters_is_missing_in_scikit_learns_words(
    bundle: Bundle, method: str
) -> None:
    owner = Owner("Pipeline", ("predict_proba", "predict_log_proba"))
    made = rewritten(bundle, responses={"predict": ()}, estimator="SGDClassifier", owner=owner)
    hinge = make_pipeline(SGDClassifier()).fit(X, np.arange(len(X)) % 2)
    with scirknn.load(made.path) as model:
        for name in (method, "kneighbors"):
            with pytest.raises(AttributeError, match="'Pipeline'") as theirs:
                getattr(hinge, name)
            with pytest.raises(AttributeError, match=f"^{re.escape(str(theirs.value))}$"):
                getattr(model, name)


def test_texts_of_missing_methods_alone_need_no_newer_format(bundle: Bundle) -> None:
    assert number_of(rewritten(bundle, owner=Owner("Pipeline", ("transform",)))) == number_of(bundle)


def test_epilogue_and_responses_follow_the_raw_output_and_their_arrays_lie_beside(regressor: Bundle) -> None:
    responses = {"predict": (Columns(0, 1),), "transform": (Activation("exp"),)}
    made = rewritten(regressor, epilogue=EPILOGUE, responses=responses, single_output=True)
    assert json.loads(metadata_path(made.path).read_text())["arrays"]["file"] == "model.npz"
    assert arrays_path(made.path).is_file()
    with scirknn.load(made.path) as model:
        values = model.raw_output(X) @ EPILOGUE[0].weights + EPILOGUE[0].bias
        np.testing.assert_allclose(model.predict(X), values[:, 0], rtol=1e-12)
        np.testing.assert_allclose(model.transform(X), np.exp(values), rtol=1e-12)


def test_features_are_computed_between_input_and_scale(regressor: Bundle) -> None:
    swap = Dense(np.eye(4)[::-1].copy(), np.zeros(4))
    made = rewritten(regressor, features=(swap,))
    with scirknn.load(regressor.path) as swapped:
        answer = swapped.predict(X)
    assert number_of(made) == 4
    with scirknn.load(rewritten(made, features=()).path) as plain:
        np.testing.assert_allclose(answer, plain.predict(X[:, ::-1]), rtol=1e-6)


@pytest.mark.parametrize(("value", "text"), [(np.nan, "Input X contains NaN"), (np.inf, "contains infinity")])
def test_what_features_would_hide_is_refused(regressor: Bundle, value: float, text: str) -> None:
    made = rewritten(regressor, features=(Above(np.arange(4), np.zeros(4)),))
    rows = X.copy()
    rows[3, 2] = value
    with scirknn.load(made.path) as model, pytest.raises(scirknn.InputError, match=text):
        model.predict(rows)


def test_a_score_is_computed_by_its_name(regressor: Bundle) -> None:
    responses = {"predict": (Columns(0, 1), Activation("exp"))}
    made = rewritten(regressor, responses=responses, single_output=True, score="d2_tweedie(1)")
    metrics = pytest.importorskip("sklearn.metrics")
    y = np.random.default_rng(1).poisson(2.0, 30)
    with scirknn.load(made.path) as model:
        expected = metrics.d2_tweedie_score(y, model.predict(X), power=1)
        assert model.score(X, y) == pytest.approx(expected, rel=1e-12)


def test_negated_high_numbers_are_subtracted_and_need_the_newest_format(regressor: Bundle) -> None:
    added = rewritten(regressor, n_outputs=1, output_parts=2)
    assert number_of(added) <= READ_BY_SCIRKNN_0_2_0
    answer = np.array([[2.0, 0.25]], np.float32)
    assert added.join(answer) == [[2.25]]
    subtracted = rewritten(added, high_negated=True)
    assert number_of(subtracted) > READ_BY_SCIRKNN_0_2_0
    assert subtracted.join(-answer) == [[1.75]]
    with pytest.raises(scirknn.BundleFormatError, match="'high_negated' is True, without two parts"):
        rewritten(regressor, high_negated=True)


@pytest.mark.parametrize("steps", [(), (Columns(0, 1),)])
def test_a_search_without_training_rows_or_with_steps_of_its_own_is_refused(
    regressor: Bundle, steps: tuple[Columns, ...]
) -> None:
    with pytest.raises(scirknn.BundleFormatError, match="'responses' has 'kneighbors', but the first step"):
        rewritten(regressor, responses={"predict": (), "kneighbors": steps})


def test_changed_missing_or_foreign_arrays_are_refused(regressor: Bundle) -> None:
    made = rewritten(regressor, epilogue=EPILOGUE)
    file = arrays_path(made.path)
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(scirknn.DigestError, match=r"model\.npz is not the file"):
        read_bundle(made.path)
    file.unlink()
    with pytest.raises(scirknn.BundleNotFoundError, match=r"model\.npz, which is not beside it"):
        read_bundle(made.path)


def test_a_file_of_that_name_that_is_no_bundles_is_not_replaced(regressor: Bundle) -> None:
    file = arrays_path(regressor.path)
    file.write_bytes(b"somebody's data")
    with pytest.raises(FileExistsError, match=r"model\.npz is no bundle's"):
        rewritten(regressor, epilogue=EPILOGUE)
    assert file.read_bytes() == b"somebody's data"
    assert read_bundle(regressor.path).epilogue == ()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"features": [{"kind": "columns", "start": 0, "stop": 9}]}, "takes column 8 of 4"),
        (
            {"features": [{"kind": "columns", "start": 0, "stop": 2}], "scale": {"offset": [0]}},
            "'scale' needs 2",
        ),
        ({"epilogue": [{"kind": "shift", "offsets": [1]}]}, "'shift' takes 1 columns, not 3"),
        ({"epilogue": [{"kind": "columns", "start": 0, "stop": 2}]}, "'classes' has 3 labels for 2 outputs"),
        ({"epilogue": 3}, "for a list of at most 4096 steps"),
        ({"responses": {}}, "'responses' is {}; it can name predict"),
        ({"responses": {"fit": []}}, "'responses' is {'fit': []}; it can name predict"),
        ({"responses": {"predict": [{"kind": "x"}]}}, "which this scirknn does not know"),
        ({"score": "f1"}, "'score' is 'f1', which this scirknn does not know"),
        ({"score": ["r2"]}, "which this scirknn does not know"),
        ({"arrays": {"file": "../x.npz", "sha256": "0" * 64}}, "not the sha256 of model.npz"),
        ({"arrays": {"file": "iris.npz", "sha256": "0" * 64}}, "the bundle was renamed"),
        ({"arrays": {"file": "model.npz", "sha256": "0"}}, "not the sha256 of model.npz"),
        ({"arrays": None}, "not the sha256 of model.npz"),
        ({"task": "outlier"}, "'head' is 'softmax'; that of the task 'outlier' is logistic"),
    ],
)
def test_keys_of_another_form_are_refused(bundle: Bundle, changes: dict[str, Any], text: str) -> None:
    edit_metadata(bundle.path, **changes)
    with pytest.raises(scirknn.BundleFormatError) as caught:
        read_bundle(bundle.path)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (
            {"epilogue": (Distances(np.ones((2, 3)), 1.0),)},
            "'distances' takes 3 inputs of the network, not 4",
        ),
        (
            {"responses": {"predict": (Distances(np.ones((2, 4)), 1.0),)}},
            "a step of 'responses' for 'predict' takes rows",
        ),
    ],
)
def test_a_step_of_rows_that_does_not_fit_is_refused(regressor: Bundle, parts: Any, text: str) -> None:
    with pytest.raises(scirknn.BundleFormatError, match=text):
        rewritten(regressor, **parts)


def test_a_methods_own_step_takes_the_networks_inputs(regressor: Bundle) -> None:
    points = np.random.default_rng(3).normal(size=(2, 4))
    made = rewritten(regressor, responses={"predict": (), "transform": (Distances(points, 2.0),)})
    with scirknn.load(made.path) as model:
        rows = model.network_inputs(X)
        expected = 2 * np.sqrt(((rows[:, None] - points) ** 2).sum(axis=2))
        np.testing.assert_allclose(model.transform(X), expected, rtol=1e-12)
