"""A bundle computed on the CPU: its weights, what is refused, and which device a call takes."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scirknn
from scirknn.bundle import metadata_path, read_bundle, write_bundle
from scirknn.bundle.arrays_file import arrays_path
from scirknn.bundle.contents import CpuLayer, CpuPart
from scirknn.bundle.files import bundle_files
from scirknn.networks.costs import Costs, write_costs
from tests.device_runtime.bundle.metadata_edits import edit_metadata
from tests.device_runtime.conftest import FakeLite, MakeBundle
from tests.device_runtime.devices.test_forks import status_of_fork
from tests.device_runtime.estimators.test_estimator import fitted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

ESTIMATOR = fitted("softmax", hidden=(9, 6))


def with_weights(path: Path, estimator: Any, **changes: Any) -> Path:
    """Write the bundle at `path` again with its estimator's weights for the CPU."""
    hidden = [estimator.activation] * (len(estimator.coefs_) - 1)
    layers = tuple(
        CpuLayer(weights.astype(np.float32), bias.astype(np.float32), activation)
        for weights, bias, activation in zip(
            estimator.coefs_, estimator.intercepts_, [*hidden, "identity"], strict=True
        )
    )
    bundle = replace(read_bundle(path), cpu=CpuPart.of(layers), **changes)
    write_bundle(bundle, {variant.file: file.read_bytes() for variant, file in bundle.files()})
    return path


@pytest.fixture
def path(make_bundle: MakeBundle) -> Path:
    return with_weights(make_bundle(ESTIMATOR, samples=(1, 8)), ESTIMATOR)


@pytest.mark.parametrize("activation", ["relu", "tanh", "logistic", "identity"])
@pytest.mark.parametrize("rows", [1, 8, 5000])
def test_answers_are_scikit_learns(activation: str, rows: int, make_bundle: MakeBundle) -> None:
    estimator = fitted("softmax", activation, hidden=(9, 6))
    X = np.random.default_rng(1).normal(size=(rows, 5))
    with scirknn.load(with_weights(make_bundle(estimator), estimator), device="cpu") as model:
        assert (model.device, model.device_for(1), model.device_for(10**6)) == ("cpu", "cpu", "cpu")
        np.testing.assert_allclose(model.predict_proba(X), estimator.predict_proba(X), rtol=0, atol=1e-5)
        np.testing.assert_array_equal(model.predict(X), estimator.predict(X))
        np.testing.assert_array_equal(model.submit(X).result(60), model.predict(X))


def test_the_cpu_opens_nothing_of_the_npu(path: Path, lite: type[FakeLite]) -> None:
    scirknn.load(path, device="cpu").close()
    assert lite.masks == []


def test_a_head_that_the_npu_applies_is_applied_by_the_cpu(make_bundle: MakeBundle) -> None:
    path = with_weights(make_bundle(ESTIMATOR), ESTIMATOR, head_on_npu=True)
    X = np.random.default_rng(1).normal(size=(6, 5))
    with scirknn.load(path, device="cpu") as model:
        for rows in (X, X[:1]):
            np.testing.assert_allclose(model.predict_proba(rows), ESTIMATOR.predict_proba(rows), atol=1e-5)
            np.testing.assert_array_equal(model.predict(rows), ESTIMATOR.predict(rows))


def test_the_range_of_integers_is_not_the_cpus(path: Path) -> None:
    held = {"low": [-1.0] * 5, "high": [1.0] * 5, "rows": 9, "room": 1.0}
    edit_metadata(path, precision="int8", input_range=held)
    with scirknn.load(path, device="cpu") as model:
        model.predict(np.full((1, 5), 7.0))
        model.predict(np.full((3, 5), 7.0))
        assert model.input_range_counts is None


@pytest.mark.parametrize("row", [2, 2999])
def test_what_overflows_is_an_error_that_names_the_row(row: int, path: Path) -> None:
    X, text = np.zeros((row + 1, 5)), f"row {row} of X: a value left the range of float32"
    X[row] = 3e38
    with scirknn.load(path, device="cpu") as model:
        with pytest.raises(scirknn.OutputRangeError, match=text):
            model.predict(X)


def test_any_process_computes_on_the_cpu(path: Path) -> None:
    with scirknn.load(path, device="cpu") as model:
        expected = model.predict(np.zeros((9, 5)))
        model.submit(np.zeros((1, 5))).result(60)

        def use() -> None:
            np.testing.assert_array_equal(model.predict(np.zeros((9, 5))), expected)
            assert model.submit(np.zeros((1, 5))).result(60).shape == (1,)

        assert status_of_fork(use) == 0


def test_a_forked_process_is_refused_by_auto_for_any_rows_and_computes_by_cpu(
    path: Path, lite: type[FakeLite]
) -> None:
    held = {"low": [-1.0] * 5, "high": [1.0] * 5, "rows": 9, "room": 1.0}
    edit_metadata(path, precision="int8", input_range=held)
    write_costs(Costs(npu_call=1e-3, npu_element=0, npu_row=0, cpu_call=0, cpu_layer=0, cpu_row=1e-3 / 4))
    X = np.random.default_rng(0).normal(size=(20, 5))
    with scirknn.load(path, device="auto") as model:
        assert [model.device_for(rows) for rows in (1, 3, 20)] == ["cpu", "cpu", "npu"]
        uses: list[Callable[[], object]] = [
            *(partial(model.predict, rows) for rows in (X, X[:1], X[:3], X[:1].tolist())),
            lambda: model.submit(X[:1]).result(60),
            model.input_range_text,
            lambda: model.input_range_counts,
        ]

        def use() -> None:
            for each in uses:
                with pytest.raises(scirknn.NativeError, match=r"opened by process \d+.*Load the model again"):
                    each()
            model.close()
            assert lite.released == 0, "released what is the parent's"
            with scirknn.load(path, device="cpu") as own:
                np.testing.assert_array_equal(own.predict(X), ESTIMATOR.predict(X))

        assert status_of_fork(use) == 0
        np.testing.assert_array_equal(model.predict(X[:1]), ESTIMATOR.predict(X[:1]))


def test_auto_computes_in_any_process_where_there_is_no_npu(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scirknn.networks.open_networks.has_npu", lambda: False)
    X = np.random.default_rng(0).normal(size=(20, 5))
    with scirknn.load(path, device="auto") as model:
        expected = model.predict(X)
        assert status_of_fork(lambda: np.testing.assert_array_equal(model.predict(X), expected)) == 0


def test_a_bundle_without_weights_says_how_to_get_them(make_bundle: MakeBundle) -> None:
    path = make_bundle(ESTIMATOR)
    for device in ("cpu", "auto"):
        with pytest.raises(scirknn.BundleError, match=r"has no weights for the CPU\. Convert the"):
            scirknn.load(path, device=device)


def test_the_npu_needs_no_weights_of_the_cpu(path: Path) -> None:
    arrays_path(path).unlink()
    with scirknn.load(path) as model:
        assert model.predict(np.zeros((1, 5))).shape == (1,)
        assert arrays_path(path) not in bundle_files(model.bundle)
    with pytest.raises(
        scirknn.BundleNotFoundError, match=r"model\.npz, which is not beside it\. Copy it too"
    ):
        scirknn.load(path, device="cpu")


def test_an_older_runtime_reads_the_bundle(path: Path) -> None:
    """It knows no key ``cpu`` and opens no file that only this names; format 1 is the oldest."""
    document = json.loads(metadata_path(path).read_text())
    assert document["format"] == 1
    assert "arrays" not in document
    assert document["cpu"]["file"] == "model.npz"


def test_weights_are_read_as_they_were_written(path: Path) -> None:
    bundle = pickle.loads(pickle.dumps(read_bundle(path)))
    assert bundle.cpu.widths == (5, 9, 6, 3)
    for layer, weights, bias in zip(bundle.cpu.read(), ESTIMATOR.coefs_, ESTIMATOR.intercepts_, strict=True):
        np.testing.assert_array_equal(layer.weights, weights.astype(np.float32))
        np.testing.assert_array_equal(layer.bias, bias.astype(np.float32))


def test_a_file_of_the_same_name_is_not_replaced(make_bundle: MakeBundle) -> None:
    path = make_bundle(ESTIMATOR)
    arrays_path(path).write_bytes(b"my own rows")
    with pytest.raises(FileExistsError, match=r"another name, or convert it with cpu_weights='off'"):
        with_weights(path, ESTIMATOR)
    assert arrays_path(path).read_bytes() == b"my own rows"


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"widths": [5, 9, 6]}, "for its widths"),
        ({"widths": [5, 9, 6, True]}, "for its widths"),
        ({"widths": [5, 9, 1 << 40, 3]}, "for its widths"),
        ({"widths": [6, 9, 6, 3]}, "goes from 6 to 3 columns, not from 5 to 3"),
        ({"activations": ["relu", "relu", "print"]}, "for its activations, which can be"),
        ({"activations": []}, "for its activations"),
        ({"activations": "relu"}, "for its activations"),
        ({"file": "../model.npz"}, "not the sha256 of model.npz"),
        ({"file": "iris.npz"}, "belongs to 'iris.npz', not to model.npz: the bundle was renamed"),
        ({"sha256": "0"}, "not the sha256 of model.npz"),
        ({"more": 1}, "without or beside widths"),
    ],
)
def test_a_damaged_description_is_refused(path: Path, changes: dict[str, Any], text: str) -> None:
    document = json.loads(metadata_path(path).read_text())
    edit_metadata(path, cpu={**document["cpu"], **changes})
    with pytest.raises(scirknn.BundleFormatError, match=text):
        read_bundle(path)


def test_another_file_of_weights_is_refused(path: Path, make_bundle: MakeBundle) -> None:
    file = arrays_path(path)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(scirknn.DigestError, match=r"model\.npz is not the file"):
        scirknn.load(path, device="cpu")


@pytest.mark.parametrize(
    ("activations", "widths", "text"),
    [
        (["relu", "relu", "relu", "identity"], [5, 9, 6, 3, 3], "layer 3 is missing"),
        (["relu", "relu", "identity"], [5, 9, 7, 3], r"layer 1 has shapes \(9, 6\) and \(6,\)"),
    ],
)
def test_weights_of_other_shapes_are_refused(
    path: Path, activations: list[str], widths: list[int], text: str
) -> None:
    document = json.loads(metadata_path(path).read_text())
    edit_metadata(path, cpu={**document["cpu"], "widths": widths, "activations": activations})
    with pytest.raises(scirknn.BundleFormatError, match=f"cannot be computed on the CPU: {text}"):
        scirknn.load(path, device="cpu")


def test_auto_takes_the_faster_device_for_each_call(path: Path, lite: type[FakeLite]) -> None:
    write_costs(Costs(npu_call=1e-3, npu_element=0, npu_row=0, cpu_call=0, cpu_layer=0, cpu_row=1e-3 / 4))
    with scirknn.load(path, device="auto") as model:
        assert model.device == "auto"
        assert [model.device_for(rows) for rows in (1, 3, 8, 1000)] == ["cpu", "cpu", "npu", "npu"]
        X = np.random.default_rng(0).normal(size=(50, 5))
        lite.fail_inference = True
        np.testing.assert_array_equal(model.predict(X[:1]), ESTIMATOR.predict(X[:1]))
        with pytest.raises(scirknn.NativeError):
            model.predict(X)


def test_auto_takes_the_cpu_where_there_is_no_npu(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scirknn.networks.open_networks.has_npu", lambda: False)
    with scirknn.load(path, device="auto") as model:
        assert model.device_for(10**6) == "cpu"
        np.testing.assert_array_equal(model.predict(np.zeros((3, 5))), ESTIMATOR.predict(np.zeros((3, 5))))


def test_a_number_of_rows_is_required(path: Path) -> None:
    with scirknn.load(path, device="cpu") as model:
        for wrong in (0, -1, 1.5, "7", None):
            with pytest.raises(scirknn.InputError, match="n_rows is"):
                model.device_for(wrong)  # type: ignore[arg-type]
    with pytest.raises(scirknn.NativeError, match="is closed"):
        model.device_for(1)
