"""A bundle's arrays, ``NAME.npz`` beside ``NAME.rknn``: numbers only, never a pickle.

It is what `numpy.savez` writes, with a fixed date, so that the same arrays are the same bytes. Since anyone
may have written it, the sizes that it states are compared with the bytes that are there before anything is
made, and nothing is decompressed.
"""

from __future__ import annotations

import io
import math
import re
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Mapping, NoReturn

import numpy as np
from numpy.lib import format as npy

from scirknn.errors import BundleFormatError, BundleNotFoundError, DigestError
from scirknn.files import sha256_of_bytes

if TYPE_CHECKING:
    from scirknn.arrays import Array

LARGEST_FILE = 1 << 30
"""Bytes: 10,000 stored rows of 784 features take 63 MB."""

MOST_ARRAYS = 4096
_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(..)"
    rb"\{'descr': '(<f8|<i8|<f4)', 'fortran_order': False, 'shape': \(([\d, ]{0,256})\), \} *\n",
    re.DOTALL,
)
"""Of an array: numpy evaluates a header as Python, which a few bytes can make fail in many ways."""

ReadArrays = Callable[[Path, Mapping[str, Any], Callable[[str], NoReturn]], Mapping[str, "Array"]]


def arrays_path(path: Path) -> Path:
    """Return where the arrays of a bundle are: ``NAME.npz`` of ``NAME.rknn``."""
    return path.with_suffix(".npz")


def pack_arrays(arrays: Mapping[str, Array]) -> bytes:
    """Return the file of arrays of float64, int64 and float32.

    Raises
    ------
    BundleFormatError
        A number is not finite: the file could not be read.
    """
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, array in sorted(arrays.items()):
            if not np.isfinite(array).all():
                raise BundleFormatError(f"The array {name!r} of a bundle holds NaN or infinity.")
            content = io.BytesIO()
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).reshape(array.shape)
            npy.write_array(content, little, version=(1, 0), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue())
    return stream.getvalue()


def read_beside(path: Path, entry: Mapping[str, Any], fail: Callable[[str], NoReturn]) -> Mapping[str, Array]:
    """Read the file of arrays that metadata names, and compare its digest.

    Raises
    ------
    BundleNotFoundError
        It is not there.
    DigestError
        It is another one.
    """
    file = path.with_name(entry["file"])
    if not file.is_file():
        raise BundleNotFoundError(f"{path.name}.json names {file.name}, which is not beside it. Copy it too.")
    if file.stat().st_size > LARGEST_FILE:
        fail(f"{file.name} is larger than {LARGEST_FILE >> 20} MiB")
    content = file.read_bytes()
    digest = sha256_of_bytes(content)
    if digest != entry["sha256"]:
        raise DigestError(
            f"{file} is not the file that {path.name}.json was written for: sha256 is {digest}, expected "
            f"{entry['sha256']}. It was truncated, changed or mixed up; copy the bundle again."
        )
    return unpack_arrays(content, file.name, fail)


def unpack_arrays(content: bytes, name: str, fail: Callable[[str], NoReturn]) -> Mapping[str, Array]:
    """Return the arrays of a file's content; `fail` raises what is wrong with it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if len(members) > MOST_ARRAYS or any(each.compress_type for each in members):
                raise ValueError(f"it has {len(members)} members, or compressed ones")
            if sum(each.file_size for each in members) > len(content):
                raise ValueError("its members overlap")
            arrays = {each.filename[: -len(".npy")]: _array(archive.read(each)) for each in members}
    except (ValueError, NotImplementedError, RuntimeError, OSError, EOFError, zipfile.BadZipFile) as error:
        fail(f"{name} holds no arrays of numbers ({str(error)[:200]})")
    return arrays


def _array(data: bytes) -> Array:
    """Return an array from the bytes that `pack_arrays` makes of one, and of no others."""
    header = _HEADER.match(data)
    if header is None or header.end() != 10 + int.from_bytes(header[1], "little"):
        raise ValueError("it has an array of another kind")
    dtype = np.dtype(header[2].decode("ascii"))
    shape = tuple(int(length) for length in header[3].split(b",") if length.strip())
    rest = len(data) - header.end()
    if math.prod(shape) * dtype.itemsize != rest or max(shape, default=0) >> 40:
        raise ValueError(f"it has an array of {dtype} and shape {shape} in {rest} bytes")
    array = np.frombuffer(data, dtype, offset=header.end()).reshape(shape)
    if not np.isfinite(array).all():
        raise ValueError("it has numbers that are not finite")
    return array
