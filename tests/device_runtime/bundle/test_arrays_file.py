"""A bundle's arrays: what was written is read, and nothing else is."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest

from scirknn import BundleFormatError
from scirknn.bundle.arrays_file import pack_arrays, unpack_arrays

ARRAYS = {"a": np.arange(6.0).reshape(2, 3), "b": np.array([1, 2], np.int64), "none": np.zeros((0, 4))}

LONGER = [(b"(3,), }   ", b"(3000,), }")]


def _fail(text: str) -> NoReturn:
    raise RuntimeError(text)


def test_arrays_are_read_as_they_were_written_and_by_numpy_too(tmp_path: Path) -> None:
    content = pack_arrays(ARRAYS)
    (tmp_path / "x.npz").write_bytes(content)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as by_numpy:
        for reader in (unpack_arrays(content, "x.npz", _fail), by_numpy):
            assert sorted(reader) == sorted(ARRAYS)
            for name, array in ARRAYS.items():
                np.testing.assert_array_equal(reader[name], array)
                assert reader[name].dtype == array.dtype
    assert pack_arrays(dict(reversed(ARRAYS.items()))) == content


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_could_not_be_read_is_not_written(value: float) -> None:
    with pytest.raises(BundleFormatError, match="'a' of a bundle holds NaN or infinity"):
        pack_arrays({"a": np.array([1.0, value])})


def _packed(name: str, data: bytes, compression: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        archive.writestr(name, data)
    return stream.getvalue()


def _npy(array: Any, **changes: Any) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.asarray(array), version=(1, 0), allow_pickle=True)
    data = stream.getvalue()
    for old, new in changes.get("replaced", ()):
        assert len(old) == len(new)
        assert old in data
        data = data.replace(old, new)
    return data


@pytest.mark.parametrize(
    "content",
    {
        "no zip": b"PK",
        "compressed": _packed("a.npy", _npy(np.zeros(1000)), zipfile.ZIP_DEFLATED),
        "pickle": _packed("a.npy", _npy(np.array([print], dtype=object))),
        "float16": _packed("a.npy", _npy(np.zeros(3, np.float16))),
        "big-endian": _packed("a.npy", _npy(np.zeros(3, ">f8"))),
        "text": _packed("a.npy", _npy(np.array(["a"]))),
        "larger than its data": _packed("a.npy", _npy(np.zeros(3), replaced=LONGER)),
        "NaN": _packed("a.npy", _npy(np.array([np.nan]))),
        "no array": _packed("a.npy", b"abc"),
        "a long header": _packed("a.npy", b"\x93NUMPY\x01\x00\xff\xff" + b" " * 70000),
        "code for a shape": _packed("a.npy", _npy(np.zeros(3), replaced=[(b"(3,), }  ", b"exit(), }")])),
    }.values(),
    ids=[
        "no zip", "compressed", "pickle", "float16", "big-endian", "text", "larger than its data", "NaN",
        "no array", "a long header", "code for a shape",
    ],
)  # fmt: skip
def test_another_file_is_refused(content: bytes) -> None:
    with pytest.raises(RuntimeError, match=r"x\.npz holds no arrays of numbers"):
        unpack_arrays(content, "x.npz", _fail)
