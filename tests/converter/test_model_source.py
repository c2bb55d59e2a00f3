"""Model files: what is read, and that a hostile one does nothing."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
import pytest
import skops.io

from sklearn2rknn import ModelFileError, UntrustedModelError, network_from_estimator
from sklearn2rknn.model_source import load_model
from tests.converter.fitted import KINDS, LABELS, fit


def same(loaded: Any, estimator: Any) -> bool:
    first, second = network_from_estimator(loaded), network_from_estimator(estimator)
    return (
        first.weights_digest() == second.weights_digest()
        and first.task == second.task
        and np.array_equal(np.asarray(first.classes), np.asarray(second.classes))
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_of_every_protocol_are_read(tmp_path: Path, kind: str, protocol: int) -> None:
    estimator, _ = fit(kind, labels=LABELS[protocol % len(LABELS)])
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(estimator, protocol))
    assert same(load_model(path), estimator)


@pytest.mark.parametrize("compress", [0, 3, ("gzip", 3), ("bz2", 3), ("xz", 1), ("lzma", 1)], ids=str)
@pytest.mark.parametrize("labels", LABELS[:2], ids=["text", "objects"])
def test_joblib_files_are_read(tmp_path: Path, compress: Any, labels: Any) -> None:
    estimator, _ = fit("softmax", labels=labels)
    path = tmp_path / "model.joblib"
    joblib.dump(estimator, path, compress=compress)
    assert same(load_model(path), estimator)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("seed", [None, 0, np.random.RandomState(0)], ids=["none", "number", "generator"])
@pytest.mark.parametrize("suffix", [".pkl", ".skops"])
def test_every_solver_and_seed_is_read(tmp_path: Path, solver: str, seed: Any, suffix: str) -> None:
    estimator, X = fit("binary")
    estimator.set_params(solver=solver, random_state=seed, early_stopping=solver != "lbfgs")
    estimator.fit(X, LABELS[0][np.arange(40) % 2])
    path = tmp_path / ("model" + suffix)
    if suffix == ".skops":
        skops.io.dump(estimator, path)
    else:
        path.write_bytes(pickle.dumps(estimator))
    assert same(load_model(path), estimator)


class Touch:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.open, (str(self.path), os.O_CREAT)


def hostile(path: Path, trace: Path, how: str) -> None:
    bomb: Any = Touch(trace)
    if how == "inside an estimator":
        estimator, _ = fit("softmax")
        estimator.coefs_ = bomb
        bomb = estimator
    if how == "in an array of objects":
        joblib.dump(np.array([bomb, None], dtype=object), path)
    elif how == "compressed":
        joblib.dump(bomb, path, compress=3)
    else:
        path.write_bytes(pickle.dumps(bomb))


@pytest.mark.parametrize("how", ["plain", "inside an estimator", "in an array of objects", "compressed"])
def test_hostile_pickle_does_nothing(tmp_path: Path, how: str) -> None:
    path, trace = tmp_path / "model.pkl", tmp_path / "trace"
    hostile(path, trace, how)
    with pytest.raises(UntrustedModelError, match=r"posix\.open.*--trust-pickle") as caught:
        load_model(path)
    assert caught.value.name == "posix.open"
    assert not trace.exists()
    load_model(path, trust_pickle=True)
    assert trace.exists()  # the file would have done it: the gate kept it, not luck


@pytest.mark.parametrize(
    "program",
    [
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"c__builtin__\neval\n(S'1'\ntR.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy\ncore.multiarray.fromfile\n.",
        b"csklearn.neural_network._multilayer_perceptron\nMLPClassifier.fit\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0fdtype.__class__\x93.",
    ],
)
def test_names_outside_the_list_are_refused(tmp_path: Path, program: bytes) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(program)
    with pytest.raises(UntrustedModelError):
        load_model(path)


def test_skops_file_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.skops"
    skops.io.dump(Touch(tmp_path / "trace"), path)
    with pytest.raises(UntrustedModelError, match="Touch"):
        load_model(path)


@pytest.mark.parametrize("suffix", [".pkl", ".joblib", ".skops"])
@pytest.mark.parametrize(
    "content", [b"", b"junk", b"\x80\x05", b"\x1f\x8bjunk", b"x\x9cjunk", b"BZhjunk", b"PK\3\4"]
)
def test_damaged_files_are_refused(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / ("model" + suffix)
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="model" + suffix):
        load_model(path)


def test_file_cut_anywhere_is_refused_or_whole(tmp_path: Path) -> None:
    whole = pickle.dumps(fit("softmax")[0])
    path = tmp_path / "model.pkl"
    for length in range(0, len(whole) - 1, max(1, len(whole) // 60)):
        path.write_bytes(whole[:length])
        with pytest.raises(ModelFileError):
            load_model(path)


@pytest.mark.parametrize(
    ("name", "said"), [("none.pkl", "no file"), ("model.onnx", "ends in .onnx"), ("m", "nothing")]
)
def test_wrong_paths(tmp_path: Path, name: str, said: str) -> None:
    path = tmp_path / name
    if name != "none.pkl":
        path.write_bytes(b"x")
    with pytest.raises(ModelFileError, match=said):
        load_model(path)
