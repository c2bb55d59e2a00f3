"""A bundle's files: ``NAME.rknn`` and, beside it, ``NAME.rknn.json``.

The second says what the numbers mean. The converter writes bundles and the runtime reads them through
this one module, so that the two cannot drift apart. The metadata names every model file with its sha256;
a file that does not match is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Mapping

from scirknn.bundle import first_scirknn, metadata
from scirknn.bundle.contents import Bundle, PathLike, metadata_path
from scirknn.errors import BundleFormatError, BundleNotFoundError, DigestError
from scirknn.files import sha256_of_file, write_atomically

__all__ = ["read_bundle", "write_bundle"]

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
    """Write a bundle's model files and its metadata, the metadata last.

    Each file is written atomically; a bundle interrupted between two files fails its digest check.

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
        write_atomically(folder / variant.file, models[variant.file])
    text = json.dumps(metadata.to_json(bundle), indent=1, allow_nan=False) + "\n"
    write_atomically(metadata_path(bundle.path), text)
