"""Metadata that was damaged, edited or made to do harm is refused, quickly and in little memory."""

from __future__ import annotations

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.neural_network import MLPClassifier, MLPRegressor

import scirknn
from scirknn.bundle import Affine, metadata_path, read_bundle, write_bundle
from scirknn.bundle.metadata import to_json
from scirknn.bundle.sidecar import with_digest
from tests.counts import counted
from tests.device_runtime.bundle.metadata_edits import edit_metadata, replace_metadata
from tests.device_runtime.conftest import MakeBundle

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

MOST_MEMORY = 64 << 20  # bytes; the metadata here has 2 kB, and what is refused has up to 60 MB
X = np.random.default_rng(0).normal(size=(30, 4))
SHA = "0" * 64


@pytest.fixture
def path(make_bundle: MakeBundle) -> Path:
    labels = np.array(["no", "yes", "so"])[np.arange(30) % 3]
    affine = Affine(np.array([0.5, 0.0, 0.1, 15.0]), np.array([2.0, 0.3, -8.0, 0.2]))
    return make_bundle(MLPClassifier((6,), max_iter=3).fit(X, labels), (1, 8), affine)


@pytest.fixture
def regressor(make_bundle: MakeBundle) -> Path:
    output = Affine(np.array([0.5]), np.array([2.0]))
    return make_bundle(
        MLPRegressor(hidden_layer_sizes=(6,), max_iter=3).fit(X, X[:, 0]),
        output=output,
        name="regressor.rknn",
    )


def test_metadata_holds_a_digest_of_itself(path: Path) -> None:
    document = json.loads(metadata_path(path).read_text())
    assert document == with_digest(document)
    assert document["format"] == 1
    assert "digest" not in read_bundle(path).details


def test_metadata_has_a_line_for_each_key(path: Path) -> None:
    first, *lines, last = metadata_path(path).read_text().splitlines()
    assert (first, last) == ("{", "}")
    keys = [next(iter(json.loads(f"{{{line.rstrip(',')}}}"))) for line in lines]
    assert keys == list(json.loads(metadata_path(path).read_text()))


def test_another_layout_of_the_same_metadata_is_read(path: Path) -> None:
    sidecar = metadata_path(path)
    document = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps(dict(sorted(document.items())), indent=4))
    assert read_bundle(path).n_outputs == 3


def test_metadata_from_before_the_digest_is_read(path: Path) -> None:
    sidecar = metadata_path(path)
    document = json.loads(sidecar.read_text())
    del document["digest"]
    sidecar.write_text(json.dumps(document))
    assert read_bundle(path).n_outputs == 3


@pytest.mark.parametrize(
    "changes",
    [
        {"head": "logistic"},
        {"classes": {"dtype": "<U3", "values": ["yes", "so", "no"]}},
        {"input": None},
        {"toolkit": {"version": "2.3.2"}},
        {"digest": None},
        {"digest": SHA},
        {"extra": 1},
    ],
)
def test_edited_metadata_is_refused_by_its_digest(path: Path, changes: dict[str, Any]) -> None:
    sidecar = metadata_path(path)
    sidecar.write_text(json.dumps({**json.loads(sidecar.read_text()), **changes}))
    with pytest.raises(scirknn.DigestError, match=r"model\.rknn\.json is not as the converter wrote it"):
        read_bundle(path)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"head": "exp"},
            "'head' is 'exp'; that of the task 'classifier' is softmax or logistic or identity",
        ),
        ({"head": "logistic"}, "'classes' has 3 labels for 3 outputs of the task 'classifier' (logistic)"),
        ({"task": "multilabel"}, "'head' is 'softmax'; that of the task 'multilabel' is logistic"),
        ({"single_output": True}, "'single_output' is True, for the task 'classifier' with 3 outputs"),
        ({"classes": {"dtype": "<i8", "values": [0, 1]}}, "'classes' has 2 labels for 3 outputs"),
        ({"classes": {"dtype": "<i8", "values": [0, 1, 1]}}, "'classes' holds a label twice: [0, 1, 1]"),
        ({"classes": {"dtype": "<i8", "values": [0, 1, 2.5]}}, "do not fit dtype <i8: [0, 1, 2.5]"),
        ({"classes": {"dtype": "|u1", "values": [0, 1, 256]}}, "do not fit dtype |u1: [0, 1, 256]"),
        ({"classes": {"dtype": "<U1", "values": ["a", "b", "cd"]}}, "do not fit dtype <U1"),
        ({"classes": {"dtype": "|O", "values": [[0], [1], [2]]}}, "'classes' holds [0], which is no text"),
        ({"classes": {"dtype": "|b4", "values": [0, 1, 2]}}, "'classes' has no known dtype"),
        *(
            ({"task": "multilabel", "classes": {"dtype": "<i8", "values": [*pairs, [0, 1]]}}, text)
            for pairs, text in (
                ([[0, 1], [0, 1, 2]], "'classes' holds no two labels of each target"),
                ([[0, 1], [1, 1]], "'classes' holds no two labels of each target"),
                ([[0, 1], 2], "'classes' holds no two labels of each target"),
                ([[0, 1], [0, [1]]], "'classes' holds [1], which is no text or number"),
                ([[0, 1], [0, 2**70]], "'classes' do not fit dtype <i8"),
                ([[0, 1], [0, 1]], "'responses' has 3 probabilities for 6 labels of targets"),
            )
        ),
        ({"classes": {"dtype": "<U999999", "values": ["a"] * 100}}, "would take 399999600 bytes"),
        ({"owner": {"name": "Pipeline", "lacking": ["fit"]}}, "'owner' is {'name': 'Pipeline'"),
        ({"owner": ["Pipeline"]}, "'owner' is ['Pipeline'], which names no class and its missing methods"),
        ({"owner": {"name": "Pipeline", "lacking": [["predict"]]}}, "'owner' is {'name': 'Pipeline'"),
        ({"input": {"offset": [0] * 4, "scale": [1, 1, 0, 1]}}, "'input' has the scale 0 for column 2"),
        ({"input": {"offset": [10**400] * 4, "scale": [1] * 4}}, "'input' needs 4 finite offsets"),
        ({"input": {"offset": ["1"] * 4, "scale": [1] * 4}}, "'input' needs 4 finite offsets"),
        ({"output": {"offset": [float("inf")] * 3, "scale": [1] * 3}}, "'output' needs 3 finite offsets"),
        ({"n_features_in": 10**9}, "'n_features_in' is 1000000000; it can be 1 to 65536"),
        ({"n_outputs": 10**9}, "'n_outputs' is 1000000000; it can be 1 to 65536"),
        ({"channels": 10**9}, "'channels' is 1000000000; it can be 1 to 262144"),
        ({"parts": 10**300}, "'parts' is 1000"),
        ({"format": 10**300}, "has format 1000"),
        ({"variants": [{"file": "x", "samples": 10**9, "sha256": SHA}]}, "1000000000 samples per run"),
        ({"variants": [{"file": "x", "samples": True, "sha256": SHA}]}, "True samples per run"),
        ({"variants": [{"file": "x", "samples": 1, "sha256": "abc"}]}, "'variants' has 'abc' as sha256"),
        ({"variants": [{"file": "x", "samples": 1, "sha256": SHA, "content_digest": 1}]}, "content_digest"),
        ({"variants": [{"file": "..", "samples": 1, "sha256": SHA}]}, "which is no bare file name"),
        ({"variants": [{"file": "x" * 256, "samples": 1, "sha256": SHA}]}, "which is no bare file name"),
        ({"variants": [{"file": "a\x1b[2J", "samples": 1, "sha256": SHA}]}, "which is no bare file name"),
        ({"variants": [{"file": "\ud800", "samples": 1, "sha256": SHA}]}, "which is no bare file name"),
        ({"variants": [{"file": "x", "samples": 1, "sha256": SHA}] * 2}, "has the same 'file' twice"),
        (
            {"variants": [{"file": f"{n}", "samples": n, "sha256": SHA} for n in range(1, 2001)]},
            "'variants' has 2000 entries, more than 32",
        ),
        (
            {"channels": 1 << 18, "variants": [{"file": "x", "samples": 16384, "sha256": SHA}]},
            "'variants' has 16384 samples per run, too many for 262144 channels",
        ),
    ],
)
def test_metadata_that_contradicts_itself_or_is_too_large_is_refused(
    path: Path, changes: dict[str, Any], text: str
) -> None:
    edit_metadata(path, **changes)
    with pytest.raises(scirknn.BundleFormatError) as caught:
        read_bundle(path)
    assert text in str(caught.value)
    assert "model.rknn.json" in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"head": "logistic"}, "'head' is 'logistic'; that of the task 'regressor' is identity or exp"),
        ({"output": {"offset": [0], "scale": [-0.0]}}, "'output' has the scale 0 for column 0"),
        (
            {"n_outputs": 2, "output": None},
            "'single_output' is True, for the task 'regressor' with 2 outputs",
        ),
    ],
)
def test_a_regressor_that_contradicts_itself_is_refused(
    regressor: Path, changes: dict[str, Any], text: str
) -> None:
    edit_metadata(regressor, **changes)
    with pytest.raises(scirknn.BundleFormatError) as caught:
        read_bundle(regressor)
    assert text in str(caught.value)


def test_what_no_runtime_would_read_is_not_written(path: Path) -> None:
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    bundle = replace(read_bundle(path), channels=1 << 20)
    with pytest.raises(scirknn.BundleFormatError, match="'channels' is 1048576; it can be 1 to 262144"):
        write_bundle(bundle, {variant.file: b"new" for variant in bundle.variants})
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"{" * 60_000_000, "larger than 16 MiB"),
        (b"[" + b"{}," * 5_000_000 + b"{}]", "5000002 lists and objects, more than 262144"),
        (b'{"format": ' + b"9" * 4_000_000 + b"}", "a number of 4000000 digits, more than 1000"),
        (b"[" * 40 + b"]" * 40, "nests more than 32 levels deep"),
    ],
)
def test_json_that_takes_much_memory_or_time_is_refused_before_it_is_parsed(
    path: Path, content: bytes, text: str
) -> None:
    metadata_path(path).write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(scirknn.BundleFormatError, match=text):
            read_bundle(path)
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()


HOSTILE = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 1, 2, 3, 8, 10**9, 2**63, 10**400, -0.0, 5e-324, 1e308])
    | st.floats()
    | st.sampled_from(["", "..", "../x", "softmax", "regressor", "<U999999", "|O", "\ud800", "\x00", SHA])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def mutate(data: st.DataObject, document: dict[str, Any]) -> None:
    """Replace, remove or repeat one value, at any depth."""
    target: Any = document
    key: Any = data.draw(st.sampled_from(sorted(document)))
    while isinstance(target[key], (dict, list)) and target[key] and data.draw(st.booleans()):
        target = target[key]
        key = data.draw(st.sampled_from(sorted(target) if isinstance(target, dict) else range(len(target))))
    change = data.draw(st.sampled_from(["replace", "remove", "repeat"]))
    if change == "remove":
        del target[key]
    elif change == "repeat" and isinstance(target[key], list):
        target[key] = target[key] * data.draw(st.sampled_from([2, 1000]))
    else:
        target[key] = data.draw(HOSTILE)


@settings(
    deadline=None, max_examples=counted(200), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_every_mutation_is_the_same_model_or_a_bundle_error(path: Path, data: st.DataObject) -> None:
    sidecar = metadata_path(path)
    original, model = sidecar.read_bytes(), to_json(read_bundle(path))
    document = json.loads(original)
    mutate(data, document)
    try:
        sidecar.write_text(json.dumps(document))
        assert to_json(read_bundle(path)) == model
    except scirknn.BundleError:
        pass
    finally:
        sidecar.write_bytes(original)


@settings(
    deadline=None, max_examples=counted(200), suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_what_a_hostile_bundle_with_a_right_digest_gives_can_be_used(path: Path, data: st.DataObject) -> None:
    original = metadata_path(path).read_bytes()
    document = json.loads(original)
    for _ in range(data.draw(st.integers(1, 3))):
        mutate(data, document)
    tracemalloc.start()
    try:
        bundle = read_bundle(replace_metadata(path, document))
    except scirknn.BundleError:
        return
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        metadata_path(path).write_bytes(original)
        assert peak < MOST_MEMORY
    assert bundle.classes is not None or bundle.task == "regressor"
    assert bundle.prepare(np.zeros((1, bundle.n_inputs))).shape[1] <= bundle.channels
    json.dumps(to_json(bundle))
