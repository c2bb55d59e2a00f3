"""Frames: whatever arrives, in whatever pieces, is frames or a violation."""

from __future__ import annotations

import itertools
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from rknn_harness.board_runner import frames

Array = np.ndarray[Any, Any]

DTYPES = st.sampled_from(["|b1", "|u1", "<i4", "<i8", "<f4", "<f8"])
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
# numpy's texts end at their last character other than NUL, so none is drawn.
LETTERS = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
ARRAYS = st.one_of(
    DTYPES.flatmap(lambda dtype: hnp.arrays(dtype, SHAPES)),
    hnp.arrays("<U7", SHAPES, elements=st.text(LETTERS, max_size=7)),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
ENTRIES = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["a", "b"]) | JSON,
        "dtype": DTYPES | st.sampled_from(["<U3", "<U0", "|O", ">f8", "<V8", "<U9999999"]) | JSON,
        "shape": st.lists(st.integers(-1, 5) | st.just(2**40), max_size=9) | JSON,
    }
)


def joined(blocks: list[frames.Block]) -> bytes:
    return b"".join(blocks)


def fed(data: bytes, cuts: list[int]) -> list[frames.Frame]:
    parser = frames.FrameParser()
    found: list[frames.Frame] = []
    bounds = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    for start, stop in itertools.pairwise(bounds):
        found += parser.feed(data[start:stop])
    return found


@given(
    st.lists(
        st.tuples(st.dictionaries(st.text(), JSON, max_size=3), st.lists(ARRAYS, max_size=3)), max_size=3
    ),
    st.lists(st.integers(0, 10_000), max_size=6),
)
def test_what_is_encoded_is_read_in_any_pieces(
    messages: list[tuple[dict[str, object], list[Array]]],
    cuts: list[int],
) -> None:
    data = b""
    for header, values in messages:
        header.pop("arrays", None)
        # Surrogates are no text that could be written anywhere; the parser refuses them.
        if "\\ud" in json.dumps(header) and not _writable(header):
            return
        data += joined(frames.encode(header, {str(i): value for i, value in enumerate(values)}))
    found = fed(data, cuts)
    assert len(found) == len(messages)
    for frame, (header, values) in zip(found, messages, strict=True):
        assert {key: value for key, value in frame.header.items() if key != "arrays"} == header
        arrays = frames.decode_arrays(frame)
        for i, value in enumerate(values):
            assert arrays[str(i)].dtype == value.dtype
            np.testing.assert_array_equal(arrays[str(i)], value)


def _writable(header: dict[str, object]) -> bool:
    try:
        json.dumps(header, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


@given(
    st.binary(max_size=300)
    | st.builds(lambda value, rest: json.dumps(value).encode() + b"\n" + rest, JSON, st.binary(max_size=99))
    | st.builds(
        lambda entries, rest: json.dumps({"arrays": entries}).encode() + b"\n" + rest,
        st.lists(ENTRIES, max_size=3),
        st.binary(max_size=500),
    ),
    st.lists(st.integers(0, 10_000), max_size=4),
)
def test_any_bytes_are_frames_or_a_violation(data: bytes, cuts: list[int]) -> None:
    try:
        for frame in fed(data, cuts):
            for array in frames.decode_arrays(frame).values():
                array.tolist()
                repr(array)
    except frames.ProtocolViolation:
        pass


@pytest.mark.parametrize(
    "line",
    [
        b"\n",
        b"[]\n",
        b"NaN\n",
        b'{"a": Infinity}\n',
        b'{"a": "\\ud800"}\n',
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b'{"arrays": 1}\n',
        b'{"arrays": [1]}\n',
        b'{"arrays": [{"name": "a", "dtype": "<f8", "shape": [true]}]}\n',
        b'{"arrays": [{"name": "a", "dtype": "<f8", "shape": [-1]}]}\n',
        b'{"arrays": [{"name": "a", "dtype": "|O", "shape": [1]}]}\n',
        b'{"arrays": [{"name": "a", "dtype": "<f8", "shape": [33554433]}]}\n',
        b'{"arrays": [{"name": "a", "dtype": "<f8", "shape": [0, 4611686018427387904]}]}\n',
        b'{"arrays": [%b, %b]}\n' % ((b'{"name": "a", "dtype": "<i4", "shape": []}',) * 2),
    ],
)
def test_a_malformed_header_is_a_violation_and_ends_the_stream(line: bytes) -> None:
    parser = frames.FrameParser()
    with pytest.raises(frames.ProtocolViolation):
        list(parser.feed(line))
    with pytest.raises(frames.ProtocolViolation, match="after a malformed frame"):
        list(parser.feed(b"{}\n"))


def test_an_endless_header_is_a_violation_before_it_is_kept() -> None:
    parser = frames.FrameParser()
    tenth = b" " * (frames.HEADER_LIMIT // 10)
    for _ in range(10):
        assert list(parser.feed(tenth)) == []
    with pytest.raises(frames.ProtocolViolation, match="longer than"):
        list(parser.feed(tenth))


@pytest.mark.parametrize(
    ("dtype", "payload"), [("|b1", b"\2"), ("<U1", b"\0\0\x11\0"), ("<U1", b"\0\xd8\0\0")]
)
def test_bytes_that_no_value_has_are_a_violation(dtype: str, payload: bytes) -> None:
    line = json.dumps({"arrays": [{"name": "a", "dtype": dtype, "shape": [1]}]}).encode()
    (frame,) = frames.FrameParser().feed(line + b"\n" + payload)
    with pytest.raises(frames.ProtocolViolation, match="'a'"):
        frames.decode_arrays(frame)


@pytest.mark.parametrize(
    "array", [np.array([None]), np.zeros(1, ">f8"), np.zeros(1, "i1"), np.broadcast_to(0.0, 1 << 26)]
)
def test_what_frames_do_not_carry_is_not_encoded(array: Array) -> None:
    if array.nbytes > frames.PAYLOAD_LIMIT:  # made without its memory
        with pytest.raises(frames.ProtocolViolation, match="larger"):
            frames._sizes([{"name": "a", "dtype": array.dtype.str, "shape": list(array.shape)}])
    else:
        with pytest.raises(frames.ProtocolViolation, match="dtype"):
            frames.encode({}, {"a": array})


CELLS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(LETTERS)


@given(st.integers(1, 4).flatmap(lambda width: st.lists(st.tuples(*[CELLS] * width), min_size=1, max_size=5)))
def test_a_table_of_numbers_and_texts_crosses_as_it_is(rows: list[tuple[object, ...]]) -> None:
    table = np.empty((len(rows), len(rows[0])), dtype=object)
    table[...] = rows
    (frame,) = fed(joined(frames.encode({}, {"X": frames.to_wire_table(table)})), [])
    found = frames.from_wire_table(frames.decode_arrays(frame)["X"])
    assert [[(type(cell), repr(cell)) for cell in row] for row in found.tolist()] == [
        [(type(cell), repr(cell)) for cell in row] for row in rows
    ]


@pytest.mark.parametrize("cell", ["", "nan", "[1]", "{}", "1 2"])
def test_a_text_that_is_no_cell_is_a_violation(cell: str) -> None:
    with pytest.raises(frames.ProtocolViolation, match="a cell"):
        frames.from_wire_table(np.array([[cell]]))


@pytest.mark.parametrize("cell", [1j, [1], np.datetime64("2026-11-28")])
def test_a_cell_that_no_frame_carries_is_refused(cell: object) -> None:
    table = np.empty((1, 1), dtype=object)
    table[0, 0] = cell
    with pytest.raises(ValueError, match="a cell that no frame carries"):
        frames.to_wire_table(table)
