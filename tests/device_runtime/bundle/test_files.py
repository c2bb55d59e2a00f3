from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.neural_network import MLPClassifier

import scirknn
from scirknn.bundle import metadata_path, read_bundle, write_bundle
from tests.device_runtime.bundle.metadata_edits import edit_metadata, replace_metadata
from tests.device_runtime.conftest import MakeBundle

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.fixture
def path(make_bundle: MakeBundle) -> Path:
    X = np.random.default_rng(0).normal(size=(30, 4))
    return make_bundle(
        MLPClassifier((6,), max_iter=3).fit(X, np.array(["no", "yes", "so"])[np.arange(30) % 3]), (1, 8)
    )


def test_what_was_written_is_read(path: Path) -> None:
    bundle = read_bundle(path)
    assert [variant.samples for variant in bundle.variants] == [1, 8]
    assert bundle.classes is not None
    assert bundle.classes.tolist() == ["no", "so", "yes"]
    assert bundle.details["toolkit"] == {"version": "none"}
    models = {variant.file: file.read_bytes() for variant, file in bundle.files()}
    before = metadata_path(path).read_bytes()
    write_bundle(bundle, models)
    assert metadata_path(path).read_bytes() == before
    assert {file.name for file in path.parent.iterdir()} == {"model.rknn", "model.n8.rknn", "model.rknn.json"}


def test_features_in_parts_add_up_to_themselves(path: Path) -> None:
    edit_metadata(path, parts=3, channels=16)
    bundle = read_bundle(path)
    X = np.array([[1 / 3, -1000.1, 1e-9, 1e5]])  # the last is none of float16's
    high, low, again = bundle.prepare(X).reshape(3, 4)
    assert np.array_equal(high, again)
    assert np.array_equal(high[:3], X[0, :3].astype(np.float16))
    assert np.array_equal(high + low, X[0])


def test_outputs_in_parts_are_added(path: Path) -> None:
    edit_metadata(path, output_parts=2)
    answer = np.array([[1024.0, -2.0, 0.0, 0.25, 2.0**-20, 0.0]], np.float32)
    assert read_bundle(path).join(answer).tolist() == [[1024.25, -2.0 + 2.0**-20, 0.0]]


def test_a_bundle_from_before_parts_is_read(path: Path) -> None:
    document = json.loads(metadata_path(path).read_text())
    del document["parts"], document["output_parts"]
    replace_metadata(path, document)
    assert read_bundle(path).parts == 1


def test_missing_files_are_named(path: Path) -> None:
    variant = path.with_name("model.n8.rknn")
    content = variant.read_bytes()
    variant.unlink()
    with pytest.raises(scirknn.BundleNotFoundError, match=r"names model\.n8\.rknn, which is not beside it"):
        scirknn.load(path)
    variant.write_bytes(content)
    metadata_path(path).unlink()
    with pytest.raises(scirknn.BundleNotFoundError, match=r"model\.rknn\.json is not beside it"):
        scirknn.load(path)
    path.unlink()
    with pytest.raises(FileNotFoundError, match="No model file at"):
        scirknn.load(path)


@pytest.mark.parametrize("folder", ["", ".", "/", "model.rknn"])
def test_a_folder_is_no_model(folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("model.rknn").mkdir()
    with pytest.raises(scirknn.BundleNotFoundError, match=r"is a folder\. Give the path of the \.rknn file"):
        read_bundle(folder)


def test_another_file_of_a_bundle_leads_to_the_first(path: Path) -> None:
    with pytest.raises(scirknn.BundleNotFoundError, match=r"or give the path of the \.rknn file"):
        read_bundle(metadata_path(path))


@pytest.mark.parametrize("damage", ["truncate", "flip", "append"])
def test_a_changed_model_file_is_refused(path: Path, damage: str) -> None:
    content = path.read_bytes()
    changed = {
        "truncate": content[:-1],
        "flip": bytes([content[0] ^ 1]) + content[1:],
        "append": content + b"\0",
    }[damage]
    path.write_bytes(changed)
    with pytest.raises(scirknn.DigestError, match="copy the bundle again"):
        scirknn.load(path)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"format": 5}, "has format 5; this scirknn reads formats up to 4. Update scirknn"),
        ({"format": True}, "'format' is True"),
        ({"task": "cluster"}, "'task' is 'cluster', not one of"),
        ({"form": "rows"}, "'form' is 'rows', not one of conv, matmul"),
        ({"head_on_npu": 1}, "'head_on_npu' is 1"),
        ({"n_features_in": 0}, "'n_features_in' is 0"),
        ({"n_outputs": "3"}, "'n_outputs' is '3'"),
        ({"output_parts": 3}, "'output_parts' is 3, neither 1 nor 2"),
        ({"parts": 2}, "'parts' is 2, neither 1 nor 3"),
        ({"parts": 3}, "fewer than the 4 features take"),
        ({"channels": 3}, "'channels' is 3, fewer than the 4 features take"),
        ({"feature_names": ["a"]}, "'feature_names' needs 4 names"),
        ({"classes": None}, "'classes' and the task 'classifier' contradict each other"),
        ({"classes": {"dtype": "O8", "values": [1]}}, "'classes' has no known dtype"),
        ({"classes": {"dtype": "<i8", "values": ["x"]}}, "'classes' do not fit dtype <i8"),
        ({"input": {"offset": [0]}}, "'input' needs 4 finite offsets and scales, and is {'offset': [0]}"),
        (
            {"input": {"offset": [0] * 4, "scale": [1, 1, 1, float("nan")]}},
            "needs 4 finite offsets and scales",
        ),
        ({"variants": []}, "'variants' has 0 entries for the precision"),
        ({"variants": [{"file": "x"}]}, "'variants' has an entry of another form"),
        ({"variants": [{"file": "../x", "samples": 1, "sha256": ""}]}, "which is no bare file name"),
        ({"variants": [{"file": "x", "samples": 0, "sha256": ""}]}, "0 samples per run"),
    ],
)
def test_wrong_metadata_says_which_entry(path: Path, changes: dict[str, Any], text: str) -> None:
    edit_metadata(path, **changes)
    with pytest.raises(scirknn.BundleFormatError) as caught:
        read_bundle(path)
    assert text in str(caught.value)


@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_metadata_is_read_or_refused(path: Path, data: st.DataObject) -> None:
    sidecar = metadata_path(path)
    original = sidecar.read_bytes()
    json_values = st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    )
    document = json.loads(original)
    key = data.draw(st.sampled_from(sorted(document)))
    document[key] = data.draw(json_values)
    try:
        replace_metadata(path, document)
        read_bundle(path)
    except scirknn.BundleError:
        pass
    finally:
        sidecar.write_bytes(original)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_metadata_that_is_no_json_is_to_be_copied_again(path: Path, content: bytes) -> None:
    metadata_path(path).write_bytes(content)
    with pytest.raises(scirknn.BundleFormatError, match="Copy the bundle again"):
        read_bundle(path)


def test_metadata_that_is_no_json_object_is_refused(path: Path) -> None:
    metadata_path(path).write_bytes(b"[]")
    with pytest.raises(scirknn.BundleFormatError, match="it holds no JSON object"):
        read_bundle(path)


def test_nothing_half_written_remains(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = read_bundle(path)
    before = {file.name: file.read_bytes() for file in path.parent.iterdir()}

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left") as caught:
        write_bundle(bundle, {"model.rknn": b"new", "model.n8.rknn": b"new"})
    assert Path(caught.value.filename).name in before
    assert {file.name: file.read_bytes() for file in path.parent.iterdir()} == before
