"""A bundle's metadata: `Bundle` to JSON and back, strictly."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, NoReturn, TypeVar

import numpy as np

from scirknn import probe_rows
from scirknn.answers import check_labels
from scirknn.bundle import columns_metadata, host_parts, input_range
from scirknn.bundle.arrays_file import ReadArrays, read_beside
from scirknn.bundle.contents import (
    FORMS,
    HEADS,
    HOST_PRECISION,
    PARTS,
    PRECISIONS,
    TASKS,
    Affine,
    Bundle,
    Variant,
)
from scirknn.bundle.limits import (
    LARGEST_BATCH_SIZE,
    LARGEST_CLASSES,
    LARGEST_RUN,
    MOST_CHANNELS,
    MOST_COLUMNS,
    MOST_VARIANTS,
    float_array,
)
from scirknn.bundle.sidecar import check_digest
from scirknn.errors import BundleFormatError

if TYPE_CHECKING:
    from scirknn.arrays import Array
    from scirknn.bundle.columns import Columns

_Value = TypeVar("_Value")

FORMAT = 4
"""Number of the metadata's newest format; a reader refuses any newer.

Format 2 has ``columns`` and ``parts``, format 3 ``form`` and ``head_on_npu``, format 4 what `bundle.parts`
describes. What needs none of them is written as an older format, for older readers too. Metadata without a
number is the first scirknn's.
"""
_LABEL_DTYPE = re.compile(r"(<U\d{1,6}|[<|][iu][1248]|<f[248]|\|b1)\Z")
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")
_LONGEST_NAME = 255  # bytes, of Linux's file systems
_HEADS_OF = {
    "classifier": ("softmax", "logistic", "identity"),
    "multilabel": ("logistic", "identity"),
    "regressor": ("identity", "exp"),
    "transformer": ("identity", "logistic"),
    "clusterer": ("softmax",),
    "outlier": ("logistic",),
}
_WITH_LABELS = ("classifier", "multilabel", "clusterer", "outlier")


def to_json(bundle: Bundle, host: host_parts.WrittenParts | None = None) -> dict[str, Any]:
    """Return a bundle's metadata as JSON takes it; `host` is its `host_parts.to_json`, if at hand."""
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
        "input": None if bundle.input is None else bundle.input.to_json(),
        "output": None if bundle.output is None else bundle.output.to_json(),
        "precision": bundle.precision,
        "variants": [vars(variant) for variant in bundle.variants],
        **({} if columns is None else {"columns": columns_metadata.to_json(columns)}),
        **({} if bundle.first_step is None else {"first_step": bundle.first_step}),
        **({} if bundle.form == "conv" else {"form": bundle.form}),
        **({"head_on_npu": True} if bundle.head_on_npu else {}),
        **({"high_negated": True} if bundle.high_negated else {}),
        **({} if bundle.input_range is None else {"input_range": input_range.to_json(bundle.input_range)}),
        **({} if bundle.probe is None else {"probe_rows": probe_rows.to_json(bundle.probe)}),
        **(host or host_parts.to_json(bundle)).document,
        **bundle.details,
    }


def _oldest_format(bundle: Bundle) -> int:
    if host_parts.are_needed(bundle):
        return 4
    if bundle.form != "conv" or bundle.head_on_npu:
        return 3
    return 1 if bundle.columns is None and bundle.parts == bundle.output_parts == 1 else 2


class _Reader:
    """Takes typed values out of the metadata, or says which one is wrong."""

    def __init__(self, sidecar: Path, document: Any) -> None:
        self.sidecar = sidecar
        if not isinstance(document, dict):
            self.fail("it holds no JSON object")
        self.document: dict[str, Any] = document

    def fail(self, why: str) -> NoReturn:
        raise BundleFormatError(f"{self.sidecar} cannot be used: {why}. Convert the model again.")

    def take(self, key: str, kind: Any, *default: Any) -> Any:
        """Return a value of a kind; where it is missing, the default if there is one."""
        if key not in self.document:
            return default[0] if default else self.fail(f"{key!r} is missing")
        value = self.document.pop(key)
        # bool is an int to isinstance; a count must not be True.
        if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            self.fail(f"{key!r} is {value!r:.60}")
        return value

    def choice(self, key: str, options: tuple[str, ...], *default: str) -> str:
        value: str = self.take(key, str, *default)
        if value not in options:
            self.fail(f"{key!r} is {value!r:.60}, not one of {', '.join(options)}")
        return value

    def count(self, key: str, most: int) -> int:
        value: int = self.take(key, int)
        if not 1 <= value <= most:
            self.fail(f"{key!r} is {value!r:.60}; it can be 1 to {most}")
        return value

    def channels(self, n_inputs: int, parts: int) -> int:
        value = self.count("channels", MOST_CHANNELS)
        if value < n_inputs * parts:
            self.fail(f"'channels' is {value}, fewer than the {n_inputs} features take")
        return value

    def affine(self, key: str, columns: int, *default: None) -> Affine | None:
        value = self.take(key, (dict, type(None)), *default)
        if value is None:
            return None
        offset, scale = (float_array(value.get(part), columns) for part in ("offset", "scale"))
        if offset is None or scale is None or not np.isfinite([offset, scale]).all():
            self.fail(f"{key!r} needs {columns} finite offsets and scales, and is {value!r:.60}")
        if not scale.all():
            self.fail(f"{key!r} has the scale 0 for column {int(np.argmin(scale != 0))}")
        return Affine(offset, scale)

    def check_format_and_digest(self) -> None:
        """Refuse another format, whose digest may be another too, then another digest."""
        document = self.document
        self.document = dict(document)
        number: int = self.take("format", int)
        if not 1 <= number <= FORMAT:
            raise BundleFormatError(
                f"{self.sidecar} has format {number!r:.60}; this scirknn reads formats up to {FORMAT}. "
                + ("Update scirknn on this machine." if number > FORMAT else "Convert the model again.")
            )
        self.document = check_digest(self.sidecar, document)
        del self.document["format"]

    def columns(self, n_features_in: int) -> tuple[Columns | None, int]:
        """Return the columns, and how many they are."""
        if "columns" not in self.document:
            return None, n_features_in
        columns = columns_metadata.from_json(self.document.pop("columns"), n_features_in, self.fail)
        return columns, len(columns.inputs)

    def optional(self, key: str, read: Callable[..., _Value], *sizes: int) -> _Value | None:
        return read(self.document.pop(key), *sizes, self.fail) if key in self.document else None

    def names(self, count: int) -> tuple[str, ...] | None:
        names = self.take("feature_names", (list, type(None)))
        if names is None:
            return None
        if len(names) != count or not all(isinstance(name, str) for name in names):
            self.fail(f"'feature_names' needs {count} names")
        return tuple(names)

    def parts(self, key: str, options: tuple[int, int]) -> int:
        # Bundles written before values had parts do not name them.
        value: int = self.take(key, int, 1)
        if value not in options:
            self.fail(f"{key!r} is {value!r:.60}, neither {options[0]} nor {options[1]}")
        return value

    def classes(self, task: str) -> Array | None:
        value = self.take("classes", (dict, type(None)))
        if (value is None) == (task in _WITH_LABELS):
            self.fail(f"'classes' and the task {task!r} contradict each other")
        if value is None:
            return None
        dtype, values = value.get("dtype"), value.get("values")
        if task == "multilabel" and isinstance(values, list) and list in map(type, values):
            return self._label_pairs(dtype, values)
        labels = self.labels(dtype, values)
        if len(set(values)) != len(values):
            self.fail(f"'classes' holds a label twice: {values!r:.60}")
        return labels

    def _label_pairs(self, dtype: Any, pairs: list[Any]) -> Array:
        """Read the two labels of each of several targets."""
        if not all(isinstance(each, list) and len(each) == 2 and each[0] != each[1] for each in pairs):
            self.fail(f"'classes' holds no two labels of each target: {pairs!r:.60}")
        return self.labels(dtype, [label for pair in pairs for label in pair]).reshape(-1, 2)

    def labels(self, dtype: Any, values: Any) -> Array:
        known = isinstance(dtype, str) and (dtype == "|O" or _LABEL_DTYPE.match(dtype))
        if not known or not isinstance(values, list) or not values:
            self.fail(f"'classes' has no known dtype or no values: {dtype!r:.60} and {values!r:.60}")
        size = np.dtype(dtype).itemsize * len(values)
        if size > LARGEST_CLASSES:
            self.fail(f"'classes' of dtype {dtype} would take {size} bytes, more than {LARGEST_CLASSES}")
        for label in values:
            if not isinstance(label, (str, int, float)):
                self.fail(f"'classes' holds {label!r:.60}, which is no text or number")
        try:
            labels = np.array(values, dtype=dtype)
        except (TypeError, ValueError, OverflowError):
            self.fail(f"'classes' do not fit dtype {dtype}: {values!r:.60}")
        if labels.tolist() != values:  # cut off, rounded, or NaN
            self.fail(f"'classes' do not fit dtype {dtype}: {values!r:.60}")
        return labels

    def variants(self) -> tuple[Variant, ...]:
        entries = self.take("variants", list)
        if len(entries) > MOST_VARIANTS:
            self.fail(f"'variants' has {len(entries)} entries, more than {MOST_VARIANTS}")
        variants = [self.variant(entry) for entry in entries]
        for name in ("file", "samples"):
            values = [getattr(variant, name) for variant in variants]
            if len(set(values)) != len(values):
                self.fail(f"'variants' has the same {name!r} twice: {values!r:.60}")
        return tuple(sorted(variants, key=lambda variant: variant.samples))

    def variant(self, entry: Any) -> Variant:
        try:
            variant = Variant(**entry)
        except TypeError:
            self.fail(f"'variants' has an entry of another form: {entry!r:.60}")
        if not is_bare_name(variant.file):
            self.fail(f"'variants' names {variant.file!r:.60}, which is no bare file name")
        if type(variant.samples) is not int or not 1 <= variant.samples <= LARGEST_BATCH_SIZE:
            self.fail(
                f"'variants' has {variant.samples!r:.60} samples per run; it can be 1 to {LARGEST_BATCH_SIZE}"
            )
        if not isinstance(variant.sha256, str) or not _SHA256.match(variant.sha256):
            self.fail(f"'variants' has {variant.sha256!r:.60} as sha256")
        if not isinstance(variant.content_digest, str):
            self.fail(f"'variants' has {variant.content_digest!r:.60} as content_digest")
        return variant


def is_bare_name(name: Any) -> bool:
    """Say whether it names a file beside the metadata, by at most 255 bytes and without control characters.

    What comes from elsewhere must not reach outside.
    """
    if not isinstance(name, str) or name in ("", ".", "..") or os.path.basename(name) != name:
        return False
    try:
        return name.isprintable() and len(os.fsencode(name)) <= _LONGEST_NAME
    except UnicodeEncodeError:
        return False


def _check_answers(bundle: Bundle) -> None:
    """Raise a ValueError for what the bundle's methods cannot answer by."""
    task, head = bundle.task, bundle.head
    n_values = host_parts.check_widths(bundle, bundle.n_inputs, bundle.n_outputs)
    if head not in _HEADS_OF[task]:
        raise ValueError(f"'head' is {head!r}; that of the task {task!r} is {' or '.join(_HEADS_OF[task])}")
    if bundle.single_output and (task != "regressor" or n_values != 1):
        raise ValueError(f"'single_output' is True, for the task {task!r} with {n_values} outputs")
    check_labels(bundle, n_values)


def _check_consistency(bundle: Bundle, fail: Callable[[str], NoReturn]) -> None:
    """Refuse values that contradict each other."""
    try:
        _check_answers(bundle)
    except ValueError as error:
        fail(str(error))
    if bundle.on_host and bundle.cpu is not None:
        fail("'cpu' is of a network, and there is none")
    if bundle.on_host != (bundle.precision == HOST_PRECISION):
        fail(f"'variants' has {len(bundle.variants)} entries for the precision {bundle.precision}")
    if bundle.on_host:
        _check_host_only(bundle, fail)
        return
    if bundle.high_negated and bundle.output_parts != 2:
        fail("'high_negated' is True, without two parts of the outputs")
    width = max(bundle.channels, bundle.n_outputs * bundle.output_parts)
    largest = bundle.variants[-1].samples
    if largest * width > LARGEST_RUN:
        fail(f"'variants' has {largest} samples per run, too many for {width} channels or outputs")


def _check_host_only(bundle: Bundle, fail: Callable[[str], NoReturn]) -> None:
    """Refuse what only a model file has: the epilogue takes the inputs themselves."""
    if not bundle.epilogue or bundle.n_outputs != bundle.channels:
        fail(f"'variants' is empty, with {len(bundle.epilogue)} steps in 'epilogue'")
    of_a_file = (
        bundle.output,
        bundle.scale,
        bundle.input_range,
        bundle.head_on_npu or None,
        bundle.high_negated or None,
    )
    if any(each is not None for each in of_a_file) or bundle.parts * bundle.output_parts != 1:
        fail("'variants' is empty, and other keys are of a model file")


def from_json(path: Path, sidecar: Path, document: Any, read_arrays: ReadArrays = read_beside) -> Bundle:
    """Read a bundle's metadata, or raise what is wrong with it.

    `read_arrays` returns the arrays that the metadata names, by default of the file beside it.
    """
    reader = _Reader(sidecar, document)
    reader.check_format_and_digest()
    n_features_in, n_outputs = (reader.count(key, MOST_COLUMNS) for key in ("n_features_in", "n_outputs"))
    columns, n_inputs = reader.columns(n_features_in)
    host = host_parts.from_json(reader.document, path, n_inputs, read_arrays, reader.fail)
    parts = reader.parts("parts", PARTS)
    task = reader.choice("task", TASKS)
    bundle = Bundle(
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
        channels=reader.channels(host.n_channels, parts),
        input=reader.affine("input", n_inputs),
        output=reader.affine("output", n_outputs),
        precision=reader.choice("precision", (*PRECISIONS, HOST_PRECISION)),
        variants=reader.variants(),
        columns=columns,
        first_step=reader.take("first_step", str, None),
        form=reader.choice("form", FORMS, "conv"),
        head_on_npu=reader.take("head_on_npu", bool, False),
        parts=parts,
        output_parts=reader.parts("output_parts", (1, 2)),
        high_negated=reader.take("high_negated", bool, False),
        input_range=reader.optional("input_range", input_range.from_json, n_inputs),
        scale=reader.affine("scale", host.n_channels, None),
        owner=reader.optional("owner", host_parts.owner_from_json),
        probe=reader.optional("probe_rows", probe_rows.from_json, host.n_channels * parts, n_outputs),
        cpu=host_parts.cpu_from_json(reader.document, path, (host.n_channels, n_outputs), reader.fail),
        details=reader.document,
        **host.fields(),
    )
    _check_consistency(bundle, reader.fail)
    return bundle
