"""Read the bundles of the first scirknn, which had another form.

It is github.com/marty1885/scirknn. Its ``NAME.rknn.json`` holds ``input_shape`` and ``output_shape``,
each ``[rows of one run, columns]``, ``mode``, and ``classes`` of a classifier. Its graphs are MatMul and
Add over ``[N, C]`` and end in the output activation.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from scirknn.bundle.contents import Bundle, Variant
from scirknn.bundle.limits import LARGEST_BATCH_SIZE, LARGEST_RUN, MOST_COLUMNS
from scirknn.errors import BundleFormatError
from scirknn.files import sha256_of_bytes

_TOOLKIT = re.compile(rb"(\d+\.\d+\.\d+)[^\0(]{0,20}\(compiler version")
_LABELS = ({bool}, {int}, {float}, {str})
_PLATFORM = re.compile(rb'"target_platform": ?\[?"(\w+)')


def recognised(document: Any) -> bool:
    """Say whether metadata is the first scirknn's."""
    # A digest is of later bundles: this one has lost its format number.
    is_later = isinstance(document, dict) and ("format" in document or "digest" in document)
    return isinstance(document, dict) and "input_shape" in document and not is_later


def convert(path: Path, document: dict[str, Any]) -> Bundle:
    """Make a bundle of the first scirknn's metadata.

    Its ``sha256`` is the file's own: the first scirknn kept none to compare with.

    Raises
    ------
    BundleFormatError
        The metadata lacks something, or contradicts itself.
    """
    samples, n_features = _shape(path, document, "input_shape")
    _, n_outputs = _shape(path, document, "output_shape")
    mode, classes = document.get("mode"), document.get("classes")
    if mode not in ("classifier", "regressor"):
        raise _wrong(path, f"'mode' is {mode!r:.60}")
    model = path.read_bytes()
    task, head = mode, "identity"
    if mode == "classifier":
        if not isinstance(classes, list) or {type(label) for label in classes} not in _LABELS:
            raise _wrong(path, "'classes' is no list of numbers or of names")
        # Of a multilabel classifier the metadata says nothing; its graph has no softmax.
        head = "softmax" if b"oftmax" in model else "logistic"
        if n_outputs > 1 and head == "logistic":
            task = "multilabel"
        if len(classes) != n_outputs and not (n_outputs == 1 and len(classes) <= 2):
            raise _wrong(path, f"it has {len(classes)} classes for {n_outputs} outputs")
    return Bundle(
        path=path,
        task=task,
        estimator="MLPClassifier" if mode == "classifier" else "MLPRegressor",
        classes=None if mode == "regressor" else np.array(classes),
        n_features_in=n_features,
        n_outputs=n_outputs,
        feature_names=None,
        single_output=mode == "regressor" and n_outputs == 1,
        dtype="float64",
        head=head,
        channels=n_features,
        input=None,
        output=None,
        precision="float16",  # unless it was quantized, which it does not say
        variants=(Variant(path.name, samples, sha256_of_bytes(model)),),
        details=_toolkit(model),
        form="matmul",
        head_on_npu=True,
    )


def _shape(path: Path, document: dict[str, Any], key: str) -> tuple[int, int]:
    shape = document.get(key)
    if not isinstance(shape, list) or len(shape) != 2:
        raise _wrong(path, f"{key!r} is {shape!r:.60}, not rows and columns")
    # A batch left open was written as null or -1; the toolkit made it 1.
    rows, columns = 1 if shape[0] in (None, -1) else shape[0], shape[1]
    if not all(type(size) is int and size > 0 for size in (rows, columns)):
        raise _wrong(path, f"{key!r} is {shape!r:.60}, not rows and columns")
    if rows > LARGEST_BATCH_SIZE or columns > MOST_COLUMNS or rows * columns > LARGEST_RUN:
        raise _wrong(
            path,
            f"{key!r} is {shape!r:.60}, larger than {LARGEST_BATCH_SIZE} rows, {MOST_COLUMNS} columns or "
            f"{LARGEST_RUN} values",
        )
    return rows, columns


def _toolkit(model: bytes) -> dict[str, Any]:
    """Return what the file itself says of its toolkit."""
    version, platform = _TOOLKIT.search(model[:4096]), _PLATFORM.search(model)
    toolkit: dict[str, Any] = {}
    if version:
        toolkit["version"] = version.group(1).decode("ascii")
    if platform:
        toolkit["target_platform"] = platform.group(1).decode("ascii")
    if model[:4] == b"RKNN":
        toolkit["model_format"] = int.from_bytes(model[8:16], "little")
    return {"toolkit": toolkit} if toolkit else {}


def _wrong(path: Path, why: str) -> BundleFormatError:
    return BundleFormatError(
        f"{path.name}.json, of the first scirknn, cannot be used: {why}. Convert the model again."
    )
