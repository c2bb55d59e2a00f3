"""A stand-in for the vendor's rknnlite with its habits: codes and None for exceptions, float32 only."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from scirknn.bundle import Affine, Bundle, Variant, write_bundle
from scirknn.bundle.columns import Columns

MakeBundle = Callable[..., Path]

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "identity": lambda v: v,
    "logistic": lambda v: 1 / (1 + np.exp(-v)),
    "tanh": np.tanh,
    "relu": lambda v: np.maximum(v, 0),
}


class _Log:
    """The vendor's log, which raises unless told not to."""

    def e(self, message: str, raised: bool = True) -> None:
        assert not raised


class FakeLite:
    """Evaluates the dense layers that `make_bundle` put into the model file.

    In float64, so that an answer does not depend on the rows beside it, for weights and answers in float32.
    """

    NPU_CORE_0 = 1
    NPU_CORE_1 = 2
    NPU_CORE_2 = 4
    NPU_CORE_0_1_2 = 7
    fail_load = fail_init = fail_inference = False
    failing_mask: int | None = None
    error = "RKNN_ERR_FAIL"
    released = 0
    masks: list[int | None] = []  # noqa: RUF012

    def __init__(self, verbose: bool = False) -> None:
        self.model: dict[str, Any] | None = None
        self.rknn_log = _Log()

    def load_rknn(self, path: str) -> int:
        if self.fail_load:
            return -1
        self.model = json.loads(Path(path).read_text())
        self.model["layers"] = [
            [np.asarray(part, dtype=np.float32).astype(np.float64) for part in layer]
            for layer in self.model["layers"]
        ]
        return 0

    def init_runtime(self, core_mask: int | None = None) -> int:
        self.masks.append(core_mask)
        self.mask = core_mask
        if self.fail_init:
            self.rknn_log.e("Catch exception when init runtime!", False)
            self.rknn_log.e(f"Exception: RKNN init failed. error code: {self.error}", False)
            return -1
        return 0

    def inference(self, inputs: list[np.ndarray[Any, Any]]) -> list[np.ndarray[Any, Any]] | None:
        (x,) = inputs
        if self.failing_mask is not None and self.mask == self.failing_mask:
            self.rknn_log.e(f"Exception: Set inputs failed. error code: {self.error}", False)
            return None
        if self.fail_inference or x.dtype != np.float32 or self.model is None:
            return None
        assert x.flags.c_contiguous
        assert x.shape == (1, self.model["samples"], 1, self.model["channels"])
        h = x[0, :, 0, :].astype(np.float64)
        layers = self.model["layers"]
        for index, (weights, bias) in enumerate(layers):
            h = h @ weights + bias
            if index < len(layers) - 1:
                h = _ACTIVATIONS[self.model["activation"]](h)
        return [np.ascontiguousarray(h.T[None, :, :, None], dtype=np.float32)]

    def release(self) -> None:
        type(self).released += 1


@pytest.fixture(autouse=True)
def no_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep a user's measured costs away from the tests, and their costs from the user's."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


@pytest.fixture
def lite(monkeypatch: pytest.MonkeyPatch) -> type[FakeLite]:
    """A fresh fake runtime, importable as ``rknnlite.api.RKNNLite``."""
    fake = type("FakeLite", (FakeLite,), {"masks": []})
    package, api = ModuleType("rknnlite"), ModuleType("rknnlite.api")
    api.RKNNLite = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "rknnlite", package)
    monkeypatch.setitem(sys.modules, "rknnlite.api", api)
    monkeypatch.setenv("SCIRKNN_DEVICE", "npu")
    return fake


@pytest.fixture
def make_bundle(tmp_path: Path, lite: type[FakeLite]) -> MakeBundle:
    """Write a fitted scikit-learn MLP as a bundle that the fake runtime can run."""

    def make(
        estimator: Any,
        samples: tuple[int, ...] = (1,),
        input: Affine | None = None,
        output: Affine | None = None,
        name: str = "model.rknn",
        columns: Columns | None = None,
        column_names: tuple[str, ...] | None = None,
    ) -> Path:
        first = estimator.coefs_[0]
        channels = -(-first.shape[0] // 8) * 8
        layers = [
            [weights.tolist(), bias.tolist()]
            for weights, bias in zip(estimator.coefs_, estimator.intercepts_, strict=True)
        ]
        layers[0][0] += [[0.0] * first.shape[1]] * (channels - first.shape[0])
        models, variants = {}, []
        for count in samples:
            file = name if count == samples[0] else name.replace(".rknn", f".n{count}.rknn")
            content = {
                "layers": layers,
                "activation": estimator.activation,
                "channels": channels,
                "samples": count,
            }
            models[file] = json.dumps(content).encode()
            variants.append(Variant(file, count, hashlib.sha256(models[file]).hexdigest()))
        classifier = hasattr(estimator, "classes_")
        multilabel = classifier and estimator._label_binarizer.y_type_ == "multilabel-indicator"
        names = getattr(estimator, "feature_names_in_", column_names)
        bundle = Bundle(
            path=tmp_path / name,
            task="multilabel" if multilabel else "classifier" if classifier else "regressor",
            estimator=type(estimator).__name__,
            classes=np.asarray(estimator.classes_) if classifier else None,
            n_features_in=estimator.n_features_in_ if columns is None else columns.n_features_in,
            n_outputs=estimator.n_outputs_,
            feature_names=None if names is None else tuple(names),
            single_output=not classifier and estimator.n_outputs_ == 1,
            dtype=first.dtype.name,
            head=estimator.out_activation_,
            channels=channels,
            input=input,
            output=output,
            precision="float16",
            variants=tuple(variants),
            details={"toolkit": {"version": "none"}},
            columns=columns,
            first_step=None if columns is None else "ColumnTransformer",
        )
        write_bundle(bundle, models)
        return bundle.path

    return make
