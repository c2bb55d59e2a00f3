"""A bundle's files: ``NAME.rknn`` and, beside it, ``NAME.rknn.json``.

The second says what the numbers mean. The converter writes bundles and the runtime reads them through
this one module, so that the two cannot drift apart. The metadata names every model file with its sha256;
a file that does not match is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Iterable, Mapping

from scirknn.bundle import first_scirknn, metadata
from scirknn.bundle.contents import Bundle, PathLike, metadata_path
from scirknn.bundle.replacement import (
    finish_replacement,
    folder_lock,
    is_unfinished,
    replace_together,
)
from scirknn.errors import BundleFormatError, BundleNotFoundError, DigestError
from scirknn.files import sha256_of_file

__all__ = ["file_of_another", "read_bundle", "write_bundle"]

_METADATA_LIMIT = 64 << 20  # bytes; a bundle's metadata is small, and a board's memory is too


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
    with folder_lock(path.parent, shared=True):
        if not is_unfinished(path):
            return _read(path)
    with folder_lock(path.parent):  # a writer was killed: make its renames
        finish_replacement(path)
    with folder_lock(path.parent, shared=True):
        return _read(path)


def _read(path: Path) -> Bundle:
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
    bundle = metadata.from_json(path, sidecar, document)
    for variant, file in bundle.files():
        if not file.is_file():
            raise BundleNotFoundError(
                f"{sidecar.name} names {variant.file}, which is not beside it. Copy it too."
            )
        digest = sha256_of_file(file)
        if digest != variant.sha256:
            raise DigestError(
                f"{file} is not the file that {sidecar.name} was written for: sha256 is {digest}, expected "
                f"{variant.sha256}. It was truncated, changed or mixed up; copy the bundle again."
            )
    return bundle


def write_bundle(bundle: Bundle, models: Mapping[str, bytes]) -> None:
    """Write a bundle's model files and its metadata, all or none.

    After a kill at any moment the bundle at its path is the one of before or the new one; of several writers
    at once, one's bundle is there in the end.

    Parameters
    ----------
    bundle : Bundle
    models : mapping of str to bytes
        The content of each variant's file by its name.

    Raises
    ------
    FileExistsError
        One of the files is another bundle's.
    OSError
        The folder cannot be written; no temporary file is left.
    """
    text = json.dumps(metadata.to_json(bundle), indent=1, allow_nan=False) + "\n"
    contents = {variant.file: models[variant.file] for variant in bundle.variants}
    contents[metadata_path(bundle.path).name] = text.encode("utf-8")
    with folder_lock(bundle.path.parent):
        taken = file_of_another(bundle.path, models)
        if taken:
            raise FileExistsError(f"{taken[0]} belongs to the bundle {taken[1]}, which would be broken.")
        replace_together(bundle.path, contents)


def file_of_another(path: PathLike, names: Iterable[str]) -> tuple[str, str] | None:
    """Find a file that another bundle in the folder names.

    Parameters
    ----------
    path : path-like
        The bundle that is to be written.
    names : iterable of str
        Its model files.

    Returns
    -------
    tuple of str or None
        The file, and the other bundle's first one.
    """
    path, wanted = Path(path), set(names)
    for sidecar in sorted(path.parent.glob("*.rknn.json")):
        if sidecar == metadata_path(path):
            continue
        try:
            variants = json.loads(sidecar.read_bytes()[:_METADATA_LIMIT])["variants"]
            taken = wanted & {variant["file"] for variant in variants}
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue  # no bundle that could be broken
        if taken:
            return min(taken), sidecar.stem
    return None
