"""A reader of flatbuffer tables that checks every offset and count first.

Layout as in the public "FlatBuffers internals" document: a table starts with a signed 32-bit offset back
to its vtable; the vtable holds its own size, the table's size, then one 16-bit offset per field (0: absent);
strings, vectors and tables are reached by unsigned 32-bit offsets relative to where the offset stands.

Many offsets may point at the same bytes, so a small hostile file can describe a huge structure. A
`Flatbuffer` therefore allows a bounded number of tables and of copied bytes, both in proportion to the file.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from virtual_npu.errors import FileFormatError

_MAX_TABLES = 200_000  # an MLP of 20 layers has about 300


class Flatbuffer:
    """Bytes of one flatbuffer, and what is left of the allowance for reading them."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self._tables_left = min(_MAX_TABLES, 64 + len(data) // 4)
        self._copies_left = 4096 + 4 * len(data)

    def root(self, identifier: bytes) -> Table:
        """Return the root table, after checking the four-byte file identifier."""
        if bytes(self.data[4:8]) != identifier:
            raise FileFormatError(f"flatbuffer identifier is not {identifier!r}")
        return self.table_at(self.target(0))

    def unpack(self, form: struct.Struct, at: int) -> int | float:
        """Read one scalar at a checked place."""
        if at < 0 or at + form.size > len(self.data):
            raise FileFormatError(f"flatbuffer offset {at} is outside its {len(self.data)} bytes")
        value: int | float = form.unpack_from(self.data, at)[0]
        return value

    def target(self, at: int) -> int:
        """Follow the unsigned offset that stands at `at`."""
        return at + int(self.unpack(_U32, at))

    def table_at(self, at: int) -> Table:
        """Open the table at `at`."""
        self._tables_left -= 1
        if self._tables_left < 0:
            raise FileFormatError("flatbuffer names more tables than its size can hold")
        vtable = at - int(self.unpack(_I32, at))
        size = int(self.unpack(_U16, vtable))
        if size < 4 or size % 2 or vtable + size > len(self.data):
            raise FileFormatError(f"flatbuffer vtable at {vtable} has size {size}")
        return Table(self, at, struct.unpack_from(f"<{size // 2 - 2}H", self.data, vtable + 4))

    def span(self, at: int, item_size: int) -> tuple[int, int]:
        """Return the start and length of the vector at `at`, which lies inside the buffer."""
        count = int(self.unpack(_U32, at))
        if at + 4 + count * item_size > len(self.data):
            raise FileFormatError(f"flatbuffer vector at {at} of {count} items runs past the end")
        return at + 4, count

    def copy(self, start: int, size: int) -> bytes:
        """Copy bytes that `span` has checked, within the allowance."""
        self._copies_left -= size
        if self._copies_left < 0:
            raise FileFormatError("flatbuffer strings are larger than the file can hold")
        return bytes(self.data[start : start + size])


_U8, _U16, _I32, _U32, _U64 = (struct.Struct(f) for f in ("<B", "<H", "<i", "<I", "<Q"))


class Table:
    """One table; fields are read by their number in the schema."""

    def __init__(self, buffer: Flatbuffer, at: int, offsets: tuple[int, ...]) -> None:
        self._buffer = buffer
        self._at = at
        self._offsets = offsets

    def _place(self, field: int) -> int | None:
        if field >= len(self._offsets) or not self._offsets[field]:
            return None
        return self._at + self._offsets[field]

    def _scalar(self, field: int, form: struct.Struct) -> int:
        place = self._place(field)
        return 0 if place is None else int(self._buffer.unpack(form, place))

    def u8(self, field: int) -> int:
        """Unsigned byte, 0 when absent."""
        return self._scalar(field, _U8)

    def u32(self, field: int) -> int:
        """Unsigned 32-bit integer, 0 when absent."""
        return self._scalar(field, _U32)

    def u64(self, field: int) -> int:
        """Unsigned 64-bit integer, 0 when absent."""
        return self._scalar(field, _U64)

    def text(self, field: int) -> str:
        """UTF-8 string, empty when absent."""
        place = self._place(field)
        if place is None:
            return ""
        raw = self._buffer.copy(*self._buffer.span(self._buffer.target(place), 1))
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            raise FileFormatError(f"flatbuffer string of field {field} is not UTF-8") from error

    def vector(self, field: int, dtype: npt.DTypeLike) -> npt.NDArray[np.generic]:
        """Vector of scalars or structs as a read-only view of the file, empty when absent."""
        place, kind = self._place(field), np.dtype(dtype)
        if place is None:
            return np.zeros(0, kind)
        start, count = self._buffer.span(self._buffer.target(place), kind.itemsize)
        return np.frombuffer(self._buffer.data, kind, count, start)

    def integers(self, field: int, limit: int) -> tuple[int, ...]:
        """Short vector of signed 32-bit integers."""
        values = self.vector(field, "<i4")
        if len(values) > limit:
            raise FileFormatError(f"field {field} holds {len(values)} integers, at most {limit} make sense")
        return tuple(int(v) for v in values)

    def table(self, field: int) -> Table | None:
        """Sub-table, or None when absent."""
        place = self._place(field)
        return None if place is None else self._buffer.table_at(self._buffer.target(place))

    def tables(self, field: int) -> Iterator[Table]:
        """Vector of sub-tables."""
        place = self._place(field)
        if place is not None:
            start, count = self._buffer.span(self._buffer.target(place), 4)
            for at in range(start, start + 4 * count, 4):
                yield self._buffer.table_at(self._buffer.target(at))
