"""A bundle: ``NAME.rknn`` and, beside it, ``NAME.rknn.json``, which says what the numbers mean.

The converter writes bundles and the runtime reads them through this one module, so that the two cannot drift
apart. The metadata names every model file with its sha256; a file that does not match is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterator, Mapping, Union

import numpy as np

from scirknn import columns as host_columns
from scirknn import first_scirknn, input_range
from scirknn.columns import Columns
from scirknn.errors import BundleFormatError, BundleNotFoundError, DigestError
from scirknn.input_range import InputRange

if TYPE_CHECKING:
    from scirknn._typing import Array, Float64Array

__all__ = ["FORMAT", "PARTS", "Affine", "Bundle", "Variant", "metadata_path", "read_bundle", "write_bundle"]

FORMAT = 3
"""Number of the metadata's newest format; a reader refuses any newer.

Format 2 has ``columns`` and ``parts``, format 3 ``form`` and ``head_on_npu``. What needs none of them is
written as an older format, for older readers too. Metadata without a number is the first scirknn's.
"""

PARTS = (1, 3)
"""Channels that a feature may take: one float16 number, or its high, its low and again its high part."""

TASKS = ("classifier", "multilabel", "regressor")
HEADS = ("softmax", "logistic", "identity", "exp")
PRECISIONS = ("float16", "int8", "int16")
FORMS = ("conv", "matmul")

_METADATA_LIMIT = 64 << 20  # bytes; a bundle's metadata is small, and a board's memory is too
_LABEL_DTYPE = re.compile(r"^(<U\d{1,6}|[<|][iufb][1248])$")

PathLike = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Affine:
    """The map ``(v - offset) * scale`` per column, done on the host.

    Attributes
    ----------
    offset, scale : numpy.ndarray of float64, shape (n_columns,)
    """

    offset: Float64Array
    scale: Float64Array


@dataclass(frozen=True)
class Variant:
    """One model file of the bundle.

    Attributes
    ----------
    file : str
        The file's bare name; it lies beside the metadata.
    samples : int
        Rows that one run takes (N).
    sha256 : str
        Digest of the file's bytes, which guards its transport.
    content_digest : str
        Digest of the parsed content, which identifies the model: a file holds uninitialised bytes too.
    """

    file: str
    samples: int
    sha256: str
    content_digest: str = ""


@dataclass(frozen=True)
class Bundle:
    """What a bundle's metadata says.

    Attributes
    ----------
    path : pathlib.Path
        The first model file.
    task : {"classifier", "multilabel", "regressor"}
    estimator : str
        scikit-learn's class name, used in error texts as scikit-learn uses it.
    classes : numpy.ndarray or None
        ``classes_`` of a classifier, with its dtype.
    n_features_in, n_outputs : int
        Columns of X, and of the network's output before the head.
    feature_names : tuple of str or None
    single_output : bool
        A regressor whose predictions have shape ``(n,)``.
    dtype : str
        dtype of the estimator's weights, ``"float64"`` or ``"float32"``: scikit-learn's results follow it.
    head : {"softmax", "logistic", "identity", "exp"}
        The output activation, evaluated on the host.
    channels : int
        Width of the model's input: ``n_inputs * parts`` and zeros up to a multiple of 8.
    input : Affine or None
        Applied to X, or to what `columns` makes of it, before it is cast.
    output : Affine or None
        Maps the network's raw output to the estimator's: ``(v - offset) * scale``.
    precision : {"float16", "int8", "int16"}
    variants : tuple of Variant
        In ascending order of ``samples``.
    details : dict
        What is told and not computed with: toolkit, placement, check, source.
    parts : {1, 3}
        Channels of each feature. With 3 of them the first columns are the features rounded to float16, then
        comes what that takes away, then the first ones again: the model computes with 22 bits.
    output_parts : {1, 2}
        Columns of the model for each output. With 2 of them the second half is to be added to the first: what
        float16 took away from it.
    columns : Columns or None
        How the network's inputs come from the columns of X; None: they are the columns of X.
    first_step : str or None
        Class name of what meets X first in a pipeline; None: the estimator.
    form : {"conv", "matmul"}
        The shape of the model's input: ``[1, C, N, 1]``, or ``[N, C]``; of its output likewise.
    head_on_npu : bool
        The model applies the head itself: its output is what the head gives.
    input_range : InputRange or None
        What int8 and int16 were calibrated for; None: not known, or float16, which cuts nothing off.
    """

    path: Path
    task: str
    estimator: str
    classes: Array | None
    n_features_in: int
    n_outputs: int
    feature_names: tuple[str, ...] | None
    single_output: bool
    dtype: str
    head: str
    channels: int
    input: Affine | None
    output: Affine | None
    precision: str
    variants: tuple[Variant, ...]
    details: Mapping[str, Any]
    parts: int = 1
    output_parts: int = 1
    columns: Columns | None = None
    first_step: str | None = None
    form: str = "conv"
    head_on_npu: bool = False
    input_range: InputRange | None = None

    @property
    def n_inputs(self) -> int:
        """Columns that the network takes: those of X, or of what `columns` makes of it."""
        return self.n_features_in if self.columns is None else len(self.columns.inputs)

    def prepare(self, X: Array) -> Array:
        """Return what the model is to be fed for rows of X, before it is cast and filled up.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, n_inputs)

        Returns
        -------
        numpy.ndarray, shape (n, n_inputs * parts)
        """
        if self.input is not None:
            # In X's own precision: float32 would round a large offset's feature before subtracting it.
            X = (X - self.input.offset) * self.input.scale
        if self.parts == 1:
            return X
        with np.errstate(over="ignore"):
            high = X.astype(np.float16).astype(X.dtype)
        high = np.where(np.isfinite(high), high, X)  # for the model to overflow, and to be told of
        return np.concatenate([high, X - high, high], axis=1)

    def join(self, answer: Array) -> Array:
        """Add up the parts of a model's answer, shape (n, n_outputs * output_parts): (n, n_outputs)."""
        if self.output_parts == 1:
            return answer
        return answer[:, : self.n_outputs].astype(np.float64) + answer[:, self.n_outputs :]

    def files(self) -> Iterator[tuple[Variant, Path]]:
        """Yield each variant with the path of its file."""
        for variant in self.variants:
            yield variant, self.path.parent / variant.file


def metadata_path(path: PathLike) -> Path:
    """Return where the metadata of the model file `path` lies: ``NAME.rknn`` has ``NAME.rknn.json``."""
    return Path(os.fspath(path) + ".json")


def read_bundle(path: PathLike) -> Bundle:
    """Read and verify a bundle.

    Parameters
    ----------
    path : path-like
        The model file, ``NAME.rknn``.

    Returns
    -------
    Bundle
        Every file it names exists and has the sha256 it should. The first scirknn's metadata names none.

    Raises
    ------
    BundleNotFoundError
        The model file, its metadata or a variant is missing.
    BundleFormatError
        The metadata is damaged or of another format.
    DigestError
        A model file has other bytes than the converter wrote.
    """
    path = Path(path)
    if not path.is_file():
        raise BundleNotFoundError(f"No model file at {path}. Give the path of the .rknn file of a bundle.")
    sidecar = metadata_path(path)
    if not sidecar.is_file():
        raise BundleNotFoundError(
            f"{path} has no metadata: {sidecar.name} is not beside it. A bundle is both files; copy both."
        )
    if sidecar.stat().st_size > _METADATA_LIMIT:
        raise BundleFormatError(
            f"{sidecar} is larger than {_METADATA_LIMIT >> 20} MiB; it is not a bundle's metadata."
        )
    try:
        document = json.loads(sidecar.read_bytes().decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleFormatError(f"{sidecar} is not JSON ({error}). Convert the model again.") from None
    if first_scirknn.recognised(document):
        return first_scirknn.convert(path, document)
    bundle = _parse(path, sidecar, document)
    for variant, file in bundle.files():
        if not file.is_file():
            raise BundleNotFoundError(
                f"{sidecar.name} names {variant.file}, which is not beside it. Copy it too."
            )
        found = _sha256(file)
        if found != variant.sha256:
            raise DigestError(
                f"{file} is not the file that {sidecar.name} was written for: sha256 is {found}, expected "
                f"{variant.sha256}. It was truncated, changed or mixed up; copy the bundle again."
            )
    return bundle


def write_bundle(bundle: Bundle, models: Mapping[str, bytes]) -> None:
    """Write a bundle's model files and its metadata, the metadata last.

    Each file is written under a temporary name and renamed, so a reader never meets half of one: a bundle
    interrupted between two files fails its digest check.

    Parameters
    ----------
    bundle : Bundle
    models : mapping of str to bytes
        The content of each variant's file by its name.

    Raises
    ------
    OSError
        The folder cannot be written; no temporary file is left.
    """
    folder = bundle.path.parent
    for variant in bundle.variants:
        _replace(folder / variant.file, models[variant.file])
    text = json.dumps(_document(bundle), indent=1, allow_nan=False) + "\n"
    _replace(metadata_path(bundle.path), text.encode("utf-8"))


def _replace(path: Path, content: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.write_bytes(content)
        os.replace(temporary, path)
    finally:
        if temporary.exists():
            temporary.unlink()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def _document(bundle: Bundle) -> dict[str, Any]:
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
        **({} if columns is None else {"columns": host_columns.document(columns)}),
        **({} if bundle.first_step is None else {"first_step": bundle.first_step}),
        **({} if bundle.form == "conv" else {"form": bundle.form}),
        **({"head_on_npu": True} if bundle.head_on_npu else {}),
        **({} if bundle.input_range is None else {"input_range": input_range.document(bundle.input_range)}),
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

    def fail(self, why: str) -> Any:
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
            return self.fail(f"{key!r} has no numeric offset and scale")  # type: ignore[no-any-return]
        if offset.shape != (columns,) or scale.shape != (columns,) or not np.isfinite([offset, scale]).all():
            self.fail(f"{key!r} needs {columns} finite offsets and scales")
        return Affine(offset, scale)

    def classes(self) -> Array | None:
        value = self.take("classes", (dict, type(None)))
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
            return self.fail(f"'classes' do not fit dtype {dtype}")  # type: ignore[no-any-return]

    def variants(self) -> tuple[Variant, ...]:
        found = []
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
            found.append(variant)
        if not found:
            self.fail("'variants' is empty")
        return tuple(sorted(found, key=lambda variant: variant.samples))


def _parse(path: Path, sidecar: Path, document: Any) -> Bundle:
    reader = _Reader(sidecar, document)
    number = reader.take("format", int)
    if not 1 <= number <= FORMAT:
        raise BundleFormatError(
            f"{sidecar} has format {number}; this scirknn reads formats up to {FORMAT}. "
            + ("Update scirknn on this machine." if number > FORMAT else "Convert the model again.")
        )
    n_features_in, n_outputs = reader.count("n_features_in"), reader.count("n_outputs")
    names = reader.take("feature_names", (list, type(None)))
    if names is not None and (
        len(names) != n_features_in or not all(isinstance(name, str) for name in names)
    ):
        reader.fail(f"'feature_names' needs {n_features_in} names")
    columns = None
    if "columns" in reader.document:
        columns = host_columns.parse(reader.document.pop("columns"), n_features_in, reader.fail)
    n_inputs = n_features_in if columns is None else len(columns.inputs)
    channels = reader.count("channels")
    # Bundles written before features had parts do not name them.
    parts = reader.count("parts") if "parts" in reader.document else 1
    if parts not in PARTS:
        reader.fail(f"'parts' is {parts}, neither of {PARTS}")
    output_parts = reader.count("output_parts") if "output_parts" in reader.document else 1
    if output_parts > 2:
        reader.fail(f"'output_parts' is {output_parts}, neither 1 nor 2")
    if channels < n_inputs * parts:
        reader.fail(f"'channels' is {channels}, fewer than the {n_inputs} features take")
    held = None
    if "input_range" in reader.document:
        held = input_range.parse(reader.document.pop("input_range"), n_inputs, reader.fail)
    task = reader.choice("task", TASKS)
    classes = reader.classes()
    if (classes is None) != (task == "regressor"):
        reader.fail(f"'classes' and the task {task!r} do not go together")
    return Bundle(
        path=path,
        task=task,
        estimator=reader.take("estimator", str),
        classes=classes,
        n_features_in=n_features_in,
        n_outputs=n_outputs,
        feature_names=None if names is None else tuple(names),
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
        input_range=held,
    )
