"""The frames of harness and runner: a line of JSON, then its arrays' raw bytes.

Both sides read them as data only. Whatever a peer sends, a parser yields complete frames or raises
`ProtocolViolation`, and holds no more than the bounds allow.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Iterator, Mapping, Union

import numpy as np

from scirknn.arrays import Array
from scirknn.text import parse_json

VERSION = 1
"""Number of the protocol, part of the answer to `hello`."""

HEADER_LIMIT = 1 << 20
"""Bytes of a header line, its line feed included."""

PAYLOAD_LIMIT = 256 << 20
"""Bytes of all arrays of a frame."""

Block = Union[bytes, bytearray, memoryview]
"""Bytes of a frame, as they are written."""

_DIMENSIONS_LIMIT = 8
_SMALL = 1 << 16
_ITEM_SIZES = {"|b1": 1, "|u1": 1, "<i4": 4, "<i8": 8, "<f4": 4, "<f8": 8}
_TEXT = re.compile(r"<U([1-9][0-9]{0,5})")


class ProtocolViolation(Exception):
    """Bytes that are no frame, or a value that no frame can hold."""


@dataclass(frozen=True)
class Frame:
    """One message.

    Attributes
    ----------
    header : dict
        The JSON object, with ``arrays`` checked against the payload's length.
    payload : bytes, bytearray or memoryview
        The arrays' bytes, one after another; `decode_arrays` makes arrays of them.
    line : bytes
        The header as it came, to be passed on.
    """

    header: dict[str, Any]
    payload: Block
    line: bytes


def encode(header: Mapping[str, Any], arrays: Mapping[str, Any] | None = None) -> list[Block]:
    """Make a frame's bytes.

    Parameters
    ----------
    header : mapping
        What JSON can hold, without ``arrays``.
    arrays : mapping of str to numpy.ndarray
        dtypes ``|b1 |u1 <i4 <i8 <f4 <f8 <U<n>``; any shape of up to 8 axes and any memory order.

    Returns
    -------
    list of Block
        To be written one after another; an array whose memory has the frame's order is not copied.

    Raises
    ------
    ProtocolViolation
        A dtype or a size that frames do not carry.
    """
    values = {name: np.asarray(value) for name, value in (arrays or {}).items()}
    entries = [{"name": name, "dtype": a.dtype.str, "shape": list(a.shape)} for name, a in values.items()]
    _sizes(entries)
    line = _line({**header, "arrays": entries})
    if len(line) > HEADER_LIMIT:
        raise ProtocolViolation(f"a header of {len(line)} bytes; the limit is {HEADER_LIMIT}")
    flat = (np.ascontiguousarray(value).reshape(-1) for value in values.values() if value.size)
    return join_small([line, *(value.view(np.uint8).data for value in flat)])


def join_small(blocks: list[Block]) -> list[Block]:
    """Join small blocks: a write each, and the reader's wakeup, cost more than a copy."""
    return [b"".join(blocks)] if sum(map(len, blocks)) <= _SMALL else blocks


def bare_frame(header: dict[str, Any]) -> Frame:
    """Return a frame without arrays."""
    return Frame(header, b"", b"".join(encode(header)))


def with_fields(frame: Frame, fields: Mapping[str, Any]) -> Frame:
    """Return `frame` with more fields in its header.

    Raises
    ------
    ProtocolViolation
        JSON cannot hold them.
    """
    header = {**frame.header, **fields}
    return Frame(header, frame.payload, _line(header))


def _line(header: Mapping[str, Any]) -> bytes:
    try:
        return json.dumps(header, allow_nan=False).encode("ascii") + b"\n"
    except (TypeError, ValueError) as error:
        raise ProtocolViolation(f"a header that JSON cannot hold: {error}") from None


def to_wire_table(cells: Any) -> Array:
    """Return a table of numbers and texts as an array of texts, a JSON value each.

    Raises
    ------
    ValueError
        A cell is neither a number, a text, a truth value nor None.
    """
    rows = np.asarray(cells, dtype=object)
    try:
        texts = [[json.dumps(_plain(cell)) for cell in row] for row in rows.tolist()]
    except TypeError as error:
        raise ValueError(f"a cell that no frame carries: {error}") from None
    return np.array(texts).reshape(rows.shape)


def _plain(cell: Any) -> Any:
    """Return a cell as JSON has it, a numpy scalar as Python's."""
    value = cell.item() if isinstance(cell, np.generic) else cell
    if value is not None and not isinstance(value, (str, int, float)):
        raise TypeError(f"{value!r:.40} is no number or text")
    return value


def from_wire_table(rows: Array) -> Array:
    """Return rows as a model takes them; the texts of `to_wire_table` as objects.

    Raises
    ------
    ProtocolViolation
        A text is no JSON value, or one that is no cell.
    """
    if rows.dtype.kind != "U":
        return rows
    cells = np.empty(rows.shape, dtype=object)
    flat = cells.reshape(-1)
    for place, text in enumerate(rows.reshape(-1).tolist()):
        try:
            flat[place] = json.loads(text)
        except (RecursionError, ValueError) as error:
            raise ProtocolViolation(f"a cell {text!r:.40} that is no JSON: {error}") from None
        if isinstance(flat[place], (list, dict)):
            raise ProtocolViolation(f"a cell {text!r:.40} that is no number or text")
    return cells


def to_wire_dtype(values: Any) -> Array:
    """Return `values` in a dtype that frames carry, without loss.

    Raises
    ------
    ValueError
        There is none.
    """
    array = np.asarray(values)
    if array.dtype.kind == "O":
        array = np.array(array.tolist())
    if array.dtype.kind in "iu" and array.dtype.str not in ("<i4", "<i8"):
        wide = array.astype("<i8")
        if (wide.astype(array.dtype) != array).any() or (array.dtype.kind == "u" and (wide < 0).any()):
            raise ValueError("predictions beyond the range of int64")
        return wide
    return array.astype("<f4") if array.dtype.str == "<f2" else array


def decode_arrays(frame: Frame) -> dict[str, Array]:
    """Make arrays of a frame's payload, without copying it.

    Raises
    ------
    ProtocolViolation
        A truth value other than 0 and 1, or text that is not Unicode: numpy would carry either on unseen.
    """
    arrays, start = {}, 0
    entries = frame.header["arrays"]
    payload = memoryview(frame.payload)
    for entry, size in zip(entries, _sizes(entries)):
        raw = np.frombuffer(payload[start : start + size], dtype=np.uint8)
        start += size
        if entry["dtype"] == "|b1" and (raw > 1).any():
            raise ProtocolViolation(f"array {entry['name']!r} has truth values other than 0 and 1")
        if entry["dtype"].startswith("<U") and size:
            points = np.frombuffer(raw, dtype="<u4")
            if (points > 0x10FFFF).any() or ((points >= 0xD800) & (points < 0xE000)).any():
                raise ProtocolViolation(f"array {entry['name']!r} has text that is not Unicode")
        arrays[entry["name"]] = np.frombuffer(raw, dtype=entry["dtype"]).reshape(entry["shape"])
    return arrays


class FrameParser:
    """Makes frames of bytes as they arrive, in pieces of any length."""

    def __init__(self) -> None:
        self._line = bytearray()
        self._header: dict[str, Any] = {}  # of the frame whose payload is awaited
        self._payload = bytearray()
        self._missing = 0  # bytes of the payload still to come
        self._broken = False

    @property
    def pending(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._line)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that `data` completes.

        Raises
        ------
        ProtocolViolation
            The stream is no sequence of frames; the parser refuses everything after it.
        """
        if self._broken:
            raise ProtocolViolation("bytes after a malformed frame")
        try:
            yield from self._frames(memoryview(data))
        except ProtocolViolation:
            self._broken = True
            raise

    def _frames(self, data: memoryview) -> Iterator[Frame]:
        while data:
            if not self._header:
                data = self._take_header(data)
            taken = min(len(data), self._missing)
            self._payload += data[:taken]
            self._missing -= taken
            data = data[taken:]
            if self._header and not self._missing:
                frame = Frame(self._header, self._payload, bytes(self._line))
                self._header, self._payload, self._line = {}, bytearray(), bytearray()
                yield frame

    def _take_header(self, data: memoryview) -> memoryview:
        end = bytes(data[: HEADER_LIMIT + 1]).find(b"\n")
        self._line += data[: end + 1] if end >= 0 else data[: HEADER_LIMIT + 1]
        if len(self._line) > HEADER_LIMIT:
            raise ProtocolViolation(f"a header line longer than {HEADER_LIMIT} bytes")
        if end < 0:
            return data[len(data) :]
        self._header = _header(bytes(self._line))
        self._missing = sum(_sizes(self._header["arrays"]))
        return data[end + 1 :]


def _header(line: bytes) -> dict[str, Any]:
    try:
        header = parse_json(line)
        # A lone surrogate, escaped, would pass here and fail wherever the text is written.
        if b"\\u" in line:
            json.dumps(header, ensure_ascii=False).encode("utf-8")
    except ValueError as error:
        raise ProtocolViolation(f"a header that is not JSON: {error}: {line[:80]!r}") from None
    if not isinstance(header, dict) or not isinstance(header.setdefault("arrays", []), list):
        raise ProtocolViolation(f"a header that is not an object with a list of arrays: {line[:80]!r}")
    return header


def _sizes(entries: list[Any]) -> list[int]:
    """Return the bytes of each array, having checked every field of its entry."""
    sizes, names = [], set()
    for entry in entries:
        name, dtype, shape = _fields(entry)
        if name in names:
            raise ProtocolViolation(f"two arrays named {name!r}")
        names.add(name)
        text = _TEXT.fullmatch(dtype)
        item = 4 * int(text.group(1)) if text else _ITEM_SIZES.get(dtype)
        if item is None:
            raise ProtocolViolation(f"array {name!r} has dtype {dtype!r:.40}, which frames do not carry")
        # numpy too counts an axis of length 0 as 1 when it looks for overflow.
        size, bound = item, item
        for length in shape:
            size, bound = size * length, bound * max(length, 1)
        if bound > PAYLOAD_LIMIT:
            raise ProtocolViolation(f"array {name!r} is larger than {PAYLOAD_LIMIT} bytes")
        sizes.append(size)
    if sum(sizes) > PAYLOAD_LIMIT:
        raise ProtocolViolation(f"arrays of {sum(sizes)} bytes; the limit is {PAYLOAD_LIMIT}")
    return sizes


def _fields(entry: Any) -> tuple[str, str, list[int]]:
    try:
        name, dtype, shape = entry["name"], entry["dtype"], entry["shape"]
    except (KeyError, TypeError, IndexError):
        raise ProtocolViolation(f"an array without name, dtype and shape: {entry!r:.80}") from None
    if not isinstance(name, str) or not isinstance(dtype, str) or not isinstance(shape, list):
        raise ProtocolViolation(f"an array without name, dtype and shape: {entry!r:.80}")
    # bool is an int to isinstance.
    if len(shape) > _DIMENSIONS_LIMIT or not all(type(length) is int and length >= 0 for length in shape):
        raise ProtocolViolation(f"array {name!r:.40} has the shape {shape!r:.80}")
    return name, dtype, shape
