"""Whatever a board says is data: a value of the kind that was asked for, or an error with a name of ours."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import attrs
import numpy as np
import paramiko
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rknn_harness.board_runner import frames
from rknn_harness.boards.boards_file import VIRTUAL, read_boards
from rknn_harness.boards.claim import Claim
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.boards.session.timing_calls import SamplingBounds
from rknn_harness.errors import BoardError, BoardsFileError, InfraError, ProtocolError

X = np.ones((2, 3))
WORDS = st.sampled_from(
    [
        *("$(touch pwned)", "../../etc/passwd", "\x1b]0;pwned\x07", "\u202e", "<script>", "[red]", "%s{0}"),
        *("virtual", "npu", "leased", "timeout", "DeviceError", "numpy", "scikit-learn", ""),
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([0, 1, -1, 10**30, 1e308])
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    *("owner", "what", "since", "until", "reserved", "kind", "type", "message", "code"),
                    *("holder", "pinned", "before", "after", "moved", "temperature", "npu", "rule", "level"),
                    *("text", "command"),
                ]
            ),
            inner,
            max_size=9,
        )
    ),
    max_leaves=12,
)
HOLDER = st.fixed_dictionaries({"owner": WORDS, "what": WORDS, "since": VALUES, "until": VALUES})
ERROR = st.fixed_dictionaries(
    {
        "kind": st.sampled_from(["leased", "run_error", "load_error", "timeout", "bad_request", "x"]),
        "type": WORDS,
        "message": WORDS,
        "code": VALUES,
    },
    optional={"holder": HOLDER | VALUES},
)
HZ = st.dictionaries(WORDS, st.integers() | VALUES, max_size=2)
CLOCKS = st.fixed_dictionaries(
    {
        "pinned": HZ | st.none(),
        "before": HZ,
        "after": HZ,
        "moved": st.booleans() | VALUES,
        "temperature": st.none() | st.lists(st.floats(0, 100), min_size=2, max_size=2) | VALUES,
        "interrupts": st.dictionaries(WORDS, WORDS | VALUES, max_size=2) | VALUES,
    }
)
HEADERS = st.fixed_dictionaries(
    {"id": st.just(1), "ok": st.sampled_from([True, True, True, False, 1, None])},
    optional={
        "protocol": VALUES,
        "facts": VALUES,
        "findings": VALUES,
        "session": HOLDER | VALUES,
        "reserved": HOLDER | VALUES,
        "taken_over": HOLDER | VALUES,
        "kernel": VALUES,
        "lease": VALUES,
        "clocks_restored": VALUES,
        "digests": VALUES,
        "clocks": CLOCKS | VALUES,
        "error": ERROR | VALUES,
    },
)
NAMES = ("output", "predictions", "probabilities", "samples", "y", "samples numpy", "X", "0", "1")
ARRAYS = st.dictionaries(
    st.sampled_from(NAMES),
    st.tuples(st.sampled_from(["<f8", "<f4", "<i8", "|b1", "<U3"]), st.lists(st.integers(0, 3), max_size=3)),
    max_size=4,
)


class Wire:
    """A channel on which an answer lies ready, and nothing after it."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer
        self.closed = False
        self.exit_status = 0
        self.status_event = threading.Event()
        self.status_event.set()

    def settimeout(self, seconds: float) -> None:
        assert seconds > 0

    def send(self, data: Any) -> int:
        return len(data)

    def recv(self, count: int) -> bytes:
        data, self._answer = self._answer[:count], self._answer[count:]
        return data

    def get_transport(self) -> Any:
        return SimpleNamespace(is_active=lambda: True)

    def close(self) -> None:
        self.closed = True


def answered(answer: bytes) -> BoardSession:
    session = BoardSession(attrs.evolve(VIRTUAL, port=1))
    session.runner._channel = cast(paramiko.Channel, Wire(answer))
    return session


ASK: dict[str, Callable[[BoardSession], object]] = {
    "hello": lambda session: session.hello(),
    "facts": lambda session: session.facts(),
    "doctor": lambda session: session.doctor(),
    "holders": lambda session: session.lease.holders(),
    "identity": lambda session: session.identity(),
    "lease": lambda session: session.lease.take(Claim(wait=0.0)),
    "reserve": lambda session: session.lease.reserve(1.0, owner="me"),
    "unreserve": lambda session: session.lease.unreserve(owner="me"),
    "digests": lambda session: session.files.put({"x": bytes(1 << 19)}),
    "predict": lambda session: attrs.asdict(session.models.predict(X)),
    "store": lambda session: session.files.put({"x": b""}),
    "outputs": lambda session: session.models.outputs(X, [np.array([1]), X]),
    "cores": lambda session: session.models.outputs_on(["0", "1"], X),
    "time": lambda session: session.timing.time_model(X),
    "time_cpu": lambda session: session.timing.time_cpu(X),
    "raw_run": lambda session: session.raw_models.run_raw(X.astype(np.float32)),
    "raw_time": lambda session: session.raw_models.time_raw(X.astype(np.float32), SamplingBounds()),
}


def asked(session: BoardSession, op: str) -> None:
    try:
        found = ASK[op](session)
    except (InfraError, BoardError) as error:
        for text in (str(error), error.type if isinstance(error, BoardError) else ""):
            assert "\x1b" not in text  # a terminal would do what it says
        return
    if op in ("hello", "facts", "doctor", "holders", "identity", "reserve", "unreserve"):
        json.dumps(found, allow_nan=False, default=attrs.asdict)  # what a manifest can hold
    if op in ("time", "raw_time"):
        samples = found if isinstance(found, np.ndarray) else cast(Any, found).samples
        assert np.isfinite(samples).all()
        assert (samples >= 0).all()


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(ASK)), HEADERS, ARRAYS, st.binary(max_size=400), st.booleans())
def test_any_answer_is_a_value_or_an_error_of_ours(
    op: str, header: dict[str, Any], arrays: dict[str, Any], payload: bytes, whole: bool
) -> None:
    entries = [{"name": n, "dtype": d, "shape": s} for n, (d, s) in arrays.items()]
    if whole:
        length = sum(frames._sizes(entries))
        payload = (payload + bytes(length))[:length]
    line = json.dumps({**header, "arrays": entries}).encode() + b"\n"
    asked(answered(line + payload), op)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(ASK)), st.binary(max_size=300))
def test_any_bytes_are_an_error_of_ours(op: str, data: bytes) -> None:
    asked(answered(data), op)


@pytest.mark.parametrize("number", ["1e999", "-1e999"])
def test_a_number_beyond_all_numbers_is_no_answer(number: str) -> None:
    line = f'{{"id": 1, "ok": true, "facts": {{"memory": {number}}}}}\n'.encode()
    with pytest.raises(ProtocolError):
        answered(line).facts()


@pytest.mark.parametrize("sample", [float("nan"), float("inf"), -1.0])
def test_times_that_are_none_are_no_answer(sample: float) -> None:
    entry = {"name": "samples", "dtype": "<f8", "shape": [1]}
    line = json.dumps({"id": 1, "ok": True, "arrays": [entry]}).encode() + b"\n"
    with pytest.raises(ProtocolError, match="samples"):
        answered(line + np.array([sample]).tobytes()).timing.time_model(X)


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "-b", "a b", "a\\nb", "x" * 65])
def test_a_boards_name_becomes_a_files_name(tmp_path: Path, name: str) -> None:
    file = tmp_path / "boards.toml"
    file.write_text(f'[board."{name}"]\nhost = "h"\nuser = "u"\nkey = "k"\nknown_hosts = "n"\n')
    with pytest.raises(BoardsFileError, match="cannot be a board's name"):
        read_boards(file)
