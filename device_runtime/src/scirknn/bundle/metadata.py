"""A bundle's metadata: `Bundle` to JSON and back, strictly."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from scirknn.bundle import columns_metadata, input_range
from scirknn.bundle.contents import FORMS, HEADS, PARTS, PRECISIONS, TASKS, Affine, Bundle, Variant
from scirknn.errors import BundleFormatError

if TYPE_CHECKING:
    from scirknn.arrays import Array

__all__ = ["FORMAT", "from_json", "to_json"]

FORMAT = 3
"""Number of the metadata's newest format; a reader refuses any newer.

Format 2 has ``columns`` and ``parts``, format 3 ``form`` and ``head_on_npu``. What needs none of them is
written as an older format, for older readers too. Metadata without a number is the first scirknn's.
"""
_LABEL_DTYPE = re.compile(r"^(<U\d{1,6}|[<|][iufb][1248])$")


def to_json(bundle: Bundle) -> dict[str, Any]:
    """Return a bundle's metadata as JSON takes it."""

    def affine(value: Affine | None) -> dict[str, Any] | None:
        return None if value is None else {"offset": value.offset.tolist(), "scale": value.scale.tolist()}

    classes, columns = bundle.classes, bundle.columns
    return {
        "format": _oldest_format(bundle),
        "task": bundle.task,
        "estimator": bundle.estimator,
        "classes": None if classes is None else {"dtype": classes.dtype.str, "values": classes.tolist()},
        "n_features_in": bundle.n_features_in,
        "n_outputs": bundle.n_outputs,
        "feature_names": None if bundle.feature_names is None else list(bundle.feature_names),
        "single_output": bundle.single_output,
        "dtype": bundle.dtype,
        "head": bundle.head,
        "channels": bundle.channels,
        "parts": bundle.parts,
        "output_parts": bundle.output_parts,
        "input": affine(bundle.input),
        "output": affine(bundle.output),
        "precision": bundle.precision,
        "variants": [vars(variant) for variant in bundle.variants],
        **({} if columns is None else {"columns": columns_metadata.to_json(columns)}),
        **({} if bundle.first_step is None else {"first_step": bundle.first_step}),
        **({} if bundle.form == "conv" else {"form": bundle.form}),
        **({"head_on_npu": True} if bundle.head_on_npu else {}),
        **({} if bundle.input_range is None else {"input_range": input_range.to_json(bundle.input_range)}),
        **bundle.details,
    }


def _oldest_format(bundle: Bundle) -> int:
    if bundle.form != "conv" or bundle.head_on_npu:
        return 3
    return 1 if bundle.columns is None and bundle.parts == bundle.output_parts == 1 else 2


class _Reader:
    """Takes typed values out of the metadata, or says which one is wrong."""

    def __init__(self, sidecar: Path, document: Any) -> None:
        self.sidecar = sidecar
        if not isinstance(document, dict):
            self.fail("it holds no JSON object")
        self.document: dict[str, Any] = dict(document)

    def fail(self, why: str) -> NoReturn:
        raise BundleFormatError(f"{self.sidecar} cannot be used: {why}. Convert the model again.")

    def take(self, key: str, kind: Any) -> Any:
        if key not in self.document:
            self.fail(f"{key!r} is missing")
        value = self.document.pop(key)
        # bool is an int to isinstance; a count must not be True.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.fail(f"{key!r} is {value!r:.60}")
        return value

    def choice(self, key: str, options: tuple[str, ...]) -> str:
        value: str = self.take(key, str)
        if value not in options:
            self.fail(f"{key!r} is {value!r:.60}, not one of {', '.join(options)}")
        return value

    def count(self, key: str) -> int:
        value: int = self.take(key, int)
        if value < 1:
            self.fail(f"{key!r} is {value}")
        return value

    def affine(self, key: str, columns: int) -> Affine | None:
        value = self.take(key, (dict, type(None)))
        if value is None:
            return None
        try:
            offset, scale = (np.asarray(value[part], dtype=np.float64) for part in ("offset", "scale"))
        except (KeyError, TypeError, ValueError):
            self.fail(f"{key!r} has no numeric offset and scale")
        if offset.shape != (columns,) or scale.shape != (columns,) or not np.isfinite([offset, scale]).all():
            self.fail(f"{key!r} needs {columns} finite offsets and scales")
        return Affine(offset, scale)

    def check_format(self) -> None:
        number = self.take("format", int)
        if not 1 <= number <= FORMAT:
            raise BundleFormatError(
                f"{self.sidecar} has format {number}; this scirknn reads formats up to {FORMAT}. "
                + ("Update scirknn on this machine." if number > FORMAT else "Convert the model again.")
            )

    def names(self, count: int) -> tuple[str, ...] | None:
        names = self.take("feature_names", (list, type(None)))
        if names is None:
            return None
        if len(names) != count or not all(isinstance(name, str) for name in names):
            self.fail(f"'feature_names' needs {count} names")
        return tuple(names)

    def parts(self, key: str, options: tuple[int, int]) -> int:
        # Bundles written before values had parts do not name them.
        value = self.count(key) if key in self.document else 1
        if value not in options:
            self.fail(f"{key!r} is {value}, neither {options[0]} nor {options[1]}")
        return value

    def classes(self, task: str) -> Array | None:
        value = self.take("classes", (dict, type(None)))
        if (value is None) != (task == "regressor"):
            self.fail(f"'classes' and the task {task!r} contradict each other")
        if value is None:
            return None
        dtype, values = value.get("dtype"), value.get("values")
        if dtype == "|O" and isinstance(values, list):
            return np.array(values, dtype=object)
        if not isinstance(dtype, str) or not _LABEL_DTYPE.match(dtype) or not isinstance(values, list):
            self.fail("'classes' has no known dtype or no values")
        try:
            return np.array(values, dtype=dtype)
        except (TypeError, ValueError, OverflowError):
            self.fail(f"'classes' do not fit dtype {dtype}")

    def variants(self) -> tuple[Variant, ...]:
        variants = []
        for entry in self.take("variants", list):
            try:
                variant = Variant(**entry)
            except TypeError:
                self.fail("'variants' has an entry of another form")
            # Bare names only: metadata from elsewhere must not reach outside its folder.
            if (
                not isinstance(variant.file, str)
                or not variant.file
                or os.path.basename(variant.file) != variant.file
            ):
                self.fail(f"'variants' names {variant.file!r:.60}, which is no bare file name")
            if not isinstance(variant.samples, int) or variant.samples < 1:
                self.fail(f"'variants' has {variant.samples!r:.60} samples per run")
            variants.append(variant)
        if not variants:
            self.fail("'variants' is empty")
        return tuple(sorted(variants, key=lambda variant: variant.samples))


def from_json(path: Path, sidecar: Path, document: Any) -> Bundle:
    """Read a bundle's metadata, or raise what is wrong with it."""
    reader = _Reader(sidecar, document)
    reader.check_format()
    n_features_in, n_outputs = reader.count("n_features_in"), reader.count("n_outputs")
    columns = None
    if "columns" in reader.document:
        columns = columns_metadata.from_json(reader.document.pop("columns"), n_features_in, reader.fail)
    n_inputs = n_features_in if columns is None else len(columns.inputs)
    known_range = None
    if "input_range" in reader.document:
        known_range = input_range.from_json(reader.document.pop("input_range"), n_inputs, reader.fail)
    parts, output_parts = reader.parts("parts", PARTS), reader.parts("output_parts", (1, 2))
    channels = reader.count("channels")
    if channels < n_inputs * parts:
        reader.fail(f"'channels' is {channels}, fewer than the {n_inputs} features take")
    task = reader.choice("task", TASKS)
    return Bundle(
        path=path,
        task=task,
        estimator=reader.take("estimator", str),
        classes=reader.classes(task),
        n_features_in=n_features_in,
        n_outputs=n_outputs,
        feature_names=reader.names(n_features_in),
        single_output=reader.take("single_output", bool),
        dtype=reader.choice("dtype", ("float64", "float32")),
        head=reader.choice("head", HEADS),
        channels=channels,
        input=reader.affine("input", n_inputs),
        output=reader.affine("output", n_outputs),
        precision=reader.choice("precision", PRECISIONS),
        variants=reader.variants(),
        columns=columns,
        first_step=reader.take("first_step", str) if "first_step" in reader.document else None,
        form=reader.choice("form", FORMS) if "form" in reader.document else "conv",
        head_on_npu=reader.take("head_on_npu", bool) if "head_on_npu" in reader.document else False,
        details=reader.document,
        parts=parts,
        output_parts=output_parts,
        input_range=known_range,
    )
