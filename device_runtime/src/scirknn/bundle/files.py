"""A bundle's files: ``NAME.rknn`` and, beside it, ``NAME.rknn.json``; ``NAME.npz`` where it has arrays.

Where the host computes all there is no ``NAME.rknn``, and its path still names the bundle.

The second says what the numbers mean. The converter writes bundles and the runtime reads them through
this one module, so that the two cannot drift apart. The metadata names every model file with its sha256;
a file that does not match is refused.
"""

from __future__ import annotations

from pathlib import Path
from typing import Iterable, Mapping

from scirknn.bundle import first_scirknn, host_parts, metadata
from scirknn.bundle.arrays_file import arrays_path
from scirknn.bundle.contents import Bundle, PathLike, metadata_path
from scirknn.bundle.replacement import (
    finish_replacement,
    folder_lock,
    is_unfinished,
    replacement,
)
from scirknn.bundle.sidecar import decode_metadata, encode_metadata, read_metadata
from scirknn.errors import BundleError, BundleNotFoundError, DigestError
from scirknn.files import sha256_of_file


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
        The metadata is damaged, contradicts itself, is of another format, or was renamed.
    DigestError
        A model file, or the metadata, is not as the converter wrote it.
    """
    path = Path(path)
    if not path.name or path.is_dir():
        raise BundleNotFoundError(f"{path} is a folder. Give the path of the .rknn file of a bundle.")
    with folder_lock(path.parent, shared=True):
        if not is_unfinished(path):
            return _read(path)
    with folder_lock(path.parent):  # a writer was killed: make its renames
        finish_replacement(path)
    with folder_lock(path.parent, shared=True):
        return _read(path)


def _read(path: Path) -> Bundle:
    sidecar = metadata_path(path)
    if not (path.is_file() or sidecar.is_file()):
        raise BundleNotFoundError(f"No model file at {path}. Give the path of the .rknn file of a bundle.")
    if not sidecar.is_file():
        raise BundleNotFoundError(
            f"{path} has no metadata: {sidecar.name} is not beside it. Copy it too, or give the path of the "
            ".rknn file of a bundle."
        )
    document = read_metadata(sidecar)
    if first_scirknn.recognised(document):
        return first_scirknn.convert(path, document)
    bundle = metadata.from_json(path, sidecar, document)
    if not (bundle.on_host or path.is_file()):
        raise BundleNotFoundError(f"No model file at {path}, which {sidecar.name} is for. Copy it too.")
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


def bundle_files(bundle: Bundle) -> list[Path]:
    """Return all files of a bundle on disk: models, metadata, and arrays where it has some.

    What only the CPU needs may have been left behind.
    """
    files, file = [path for _, path in bundle.files()], arrays_path(bundle.path)
    arrays = [file] if host_parts.has_arrays(bundle) or (bundle.cpu and file.is_file()) else []
    return [*files, metadata_path(bundle.path), *arrays]


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
    BundleFormatError
        No runtime would read the bundle, such as one of more variants than a board opens.
    FileExistsError
        One of the files is another bundle's.
    OSError
        The folder cannot be written; no temporary file is left.
    """
    host = host_parts.to_json(bundle)
    with folder_lock(bundle.path.parent):
        arrays = _name_for_arrays(bundle.path) if host.arrays else ""
        taken = file_of_another(bundle.path, models)
        if taken:
            raise FileExistsError(f"{taken[0]} belongs to the bundle {taken[1]}, which would be broken.")
        with replacement(bundle.path) as add:
            for variant in bundle.variants:
                add(variant.file, models[variant.file])
            if arrays:
                add(arrays, host.file)
            sidecar = metadata_path(bundle.path)
            encoded = encode_metadata(metadata.to_json(bundle, host))
            add(sidecar.name, encoded)
            # Read as runtimes read it, before anything is replaced.
            metadata.from_json(
                bundle.path, sidecar, decode_metadata(sidecar, encoded), lambda *_: host.arrays
            )
        if bundle.on_host and bundle.path.is_file():
            bundle.path.unlink()  # of the bundle of before


def _name_for_arrays(path: Path) -> str:
    """Return the name of a bundle's file of arrays, unless it is the file of something else."""
    file, sidecar = arrays_path(path), metadata_path(path)
    if file.exists():
        document = read_metadata(sidecar) if sidecar.is_file() else {}
        keys = ("arrays", "cpu") if isinstance(document, dict) else ()
        entries = [entry for entry in map(document.get, keys) if isinstance(entry, dict)]
        if all(entry.get("file") != file.name for entry in entries):
            raise FileExistsError(
                f"{file} is no bundle's, and the arrays of {path.name} would replace it. Give the bundle "
                "another name, or convert it with cpu_weights='off'."
            )
    return file.name


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
            variants = read_metadata(sidecar)["variants"]
            taken = wanted & {variant["file"] for variant in variants}
        except (OSError, BundleError, KeyError, TypeError):
            continue  # no bundle that could be broken
        if taken:
            return min(taken), sidecar.stem
    return None
