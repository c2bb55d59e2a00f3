"""Read an estimator from a file, running no code that the file brings."""

from __future__ import annotations

import bz2
import io
import lzma
import os
import zipfile
import zlib
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]

from sklearn2rknn.errors import ModelFileError, UnsupportedModelError, UntrustedModelError
from sklearn2rknn.estimators.registry import ESTIMATORS
from sklearn2rknn.model_files.compiled_objects import make_compiled_objects
from sklearn2rknn.model_files.inert import NamedStandIn, Record, Workshop, refuse_name
from sklearn2rknn.model_files.model_names import INSTANCES
from sklearn2rknn.model_files.old_files import complete_old_instances
from sklearn2rknn.model_files.pickle_machine import PickleMachine
from sklearn2rknn.model_files.record_checks import check_repetition
from sklearn2rknn.model_files.skops_file import SkopsFile
from sklearn2rknn.transformers.registry import TRANSFORMERS

PICKLE_SUFFIXES = (".pkl", ".pickle", ".joblib")

SIZE_LIMIT = 2 << 30  # bytes of a decompressed file
_SMALL = 256 << 20  # bytes that a file of any size may become
_COMPRESSION = 20  # how many times smaller a larger file may have been made; weights hardly shrink


def load_model(path: str | os.PathLike[str], *, trust_pickle: bool = False) -> Any:
    """Read a fitted estimator.

    Parameters
    ----------
    path : path-like
        ``.skops``, or a pickle: ``.pkl``, ``.pickle`` or ``.joblib``.
    trust_pickle : bool
        Load a pickle whatever it names. A pickle can run any code: only for files of known origin.

    Returns
    -------
    object
        The estimator.

    Raises
    ------
    UntrustedModelError
        The file calls or makes something that no model that can be converted needs.
    UnsupportedModelError
        A scikit-learn wrote it whose files cannot be read any more, or it holds no estimator.
    ModelFileError
        It is missing, damaged or of another kind.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise ModelFileError(f"There is no file {path}. Give the path of a .skops, .pkl or .joblib file.")
    if suffix != ".skops" and suffix not in PICKLE_SUFFIXES:
        raise ModelFileError(
            f"{path} ends in {suffix or 'nothing'}; a model's file ends in .skops, "
            f"{', '.join(PICKLE_SUFFIXES)}."
        )
    try:
        return _read(path, suffix, trust_pickle)
    except (ModelFileError, UnsupportedModelError):
        raise
    except RecursionError:
        raise ModelFileError(f"{path} nests deeper than any estimator does. Save the model again.") from None
    except Exception as error:  # a damaged file fails in any way
        raise ModelFileError(
            f"{path} cannot be read: {type(error).__name__}: {str(error)[:300]}. It may be damaged, or "
            "written by another version of scikit-learn or numpy; save the model again, best as .skops."
        ) from error


def _read(path: Path, suffix: str, trust: bool) -> Any:
    workshop = Workshop(readable_classes())
    try:
        content = _load_skops(path, workshop) if suffix == ".skops" else _load_pickle(path, workshop)
        check_repetition(content, workshop)
        _refuse_other_content(path, content)
    except ModelFileError as error:
        if not trust or suffix == ".skops":
            raise _of_file(error, path) from None
        content = joblib.load(path)
        if type(content) in (dict, list, tuple):
            _refuse_other_content(path, content)
        return content
    complete_old_instances(workshop)
    try:
        make_compiled_objects(workshop)
    except ModelFileError as error:
        raise _of_file(error, path) from None
    workshop.warn_of_versions()
    return content


def readable_classes() -> frozenset[str]:
    """Return the full names of the classes of which a file may hold instances."""
    return INSTANCES | ESTIMATORS.full_names() | TRANSFORMERS.full_names()


def _of_file(error: ModelFileError, path: Path) -> ModelFileError:
    """Return the error with the file's name in its text."""
    text = str(error).replace("The file ", f"{path} ", 1)
    if text.startswith("The pickle "):
        text = f"{path} is damaged, or no pickle: it {text[len('The pickle ') :]} Save the model again."
    if str(path) not in text:
        text = f"{path}: {text}"
    return (
        UntrustedModelError(error.name, text)
        if isinstance(error, UntrustedModelError)
        else ModelFileError(text)
    )


def _load_skops(path: Path, workshop: Workshop) -> Any:
    limit = _size_limit(path.stat().st_size)
    with zipfile.ZipFile(path) as archive:
        return SkopsFile(archive, workshop, limit).load()


def _load_pickle(path: Path, workshop: Workshop) -> Any:
    return PickleMachine(io.BytesIO(_decompress(path)), workshop).load()


def _size_limit(size: int) -> int:
    """Return how many bytes a file of `size` may become."""
    return min(SIZE_LIMIT, _SMALL + _COMPRESSION * size)


def _decompress(path: Path) -> bytes:
    """Return the file's bytes, decompressed where joblib compressed them."""
    if path.stat().st_size > SIZE_LIMIT:
        raise ModelFileError(f"{path} is larger than {SIZE_LIMIT >> 20} MiB.")
    data = path.read_bytes()
    decompressor: Any
    if data[:1] == b"\x78" or data[:2] == b"\x1f\x8b":
        decompressor = zlib.decompressobj(wbits=47)  # zlib or gzip, whichever it is
    elif data[:3] == b"BZh":
        decompressor = bz2.BZ2Decompressor()
    elif data[:5] == b"\xfd7zXZ" or data[:3] == b"\x5d\x00\x00":
        decompressor = lzma.LZMADecompressor(memlimit=_SMALL)
    elif data[:4] == b"\x04\x22\x4d\x18" or data[:2] == b"ZF":
        tool = "joblib before 0.10" if data[:2] == b"ZF" else "lz4"
        raise ModelFileError(
            f"{path} is compressed by {tool}, which is not read. Save the model again: "
            "joblib.dump(model, path, compress=3)."
        )
    else:
        return data
    limit = _size_limit(len(data))
    plain: bytes = decompressor.decompress(data, limit)
    if not decompressor.eof:
        raise ModelFileError(f"{path} is cut short, or larger than {limit >> 20} MiB when decompressed.")
    return plain


def _refuse_other_content(path: Path, content: Any) -> None:
    """Refuse what is no estimator, with what is inside and how to save it."""
    kind = type(content)
    if kind in (NamedStandIn, Record):
        raise refuse_name(content.full_name)
    if kind is dict:
        parts = [(f"content[{key!r:.60}]", value) for key, value in list(content.items())[:8]]
    elif kind in (list, tuple):
        parts = [(f"content[{index}]", value) for index, value in enumerate(content[:8])]
    elif not hasattr(kind, "fit"):
        raise ModelFileError(
            f"{path} holds {_article(kind.__name__)}, not an estimator. Save the fitted estimator alone: "
            "skops.io.dump(model, path)."
        )
    else:
        return
    inside = ", ".join(f"{name} ({type(value).__name__})" for name, value in parts) or "nothing"
    estimators = [name for name, value in parts if hasattr(type(value), "predict")]
    name = estimators[0] if estimators else "model"
    raise ModelFileError(
        f"{path} holds a {kind.__name__} of {inside}, not an estimator. Save the fitted estimator alone: "
        f"content = joblib.load(path); skops.io.dump({name}, 'model.skops'). A scaler or encoder before it "
        "belongs in a Pipeline with it: sklearn.pipeline.make_pipeline(scaler, model), is fitted too."
    )


def _article(name: str) -> str:
    return f"{'an' if name[:1] in 'aeiouAEIOU' else 'a'} {name}"
