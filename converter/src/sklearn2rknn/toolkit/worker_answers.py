"""What a worker sends back, checked before it is used: answers, printed text, arrays."""

from __future__ import annotations

import json
import math
import re
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from scirknn.text import printable
from sklearn2rknn.errors import WorkerOutputError

ANSWER_LIMIT = 1 << 16
"""Bytes of a line: a reason has at most 2,000 characters, of 6 bytes each."""

_HEADER = re.compile(
    rb"\x93NUMPY\x01\x00(..)"
    rb"\{'descr': '<f4', 'fortran_order': False, 'shape': \(((?:\d{1,9}, ?){1,8}\d{0,9})\), \} *\n",
    re.DOTALL,
)
"""Of a .npy file, version 1.0: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html"""


@attrs.frozen
class Greeting:
    """A worker's first line."""

    ready: bool
    reason: str

    @classmethod
    def parse(cls, line: bytes) -> Greeting:
        """Read a line; raises ValueError where it is no greeting."""
        is_ready = _parse(line, ready=bool)["ready"]
        return cls(is_ready, "" if is_ready else _parse(line, reason=str)["reason"])


@attrs.frozen
class Answer:
    """How a job ended.

    Attributes
    ----------
    id : int
        The request's.
    ok : bool
    stage, kind, reason : str
        Where and how it failed.
    seconds : float
    """

    id: int
    ok: bool
    stage: str
    kind: str
    reason: str
    seconds: float

    @classmethod
    def parse(cls, line: bytes) -> Answer:
        """Read a line; raises ValueError where it is no answer."""
        values = _parse(line, id=int, ok=bool, stage=str, kind=str, reason=str, seconds=float)
        if not math.isfinite(values["seconds"]):
            raise ValueError(f"seconds is {values['seconds']}")
        return cls(**values)


def _parse(line: bytes, **types: type) -> dict[str, Any]:
    """Return what a JSON object has under these names; raises ValueError where it is of another type."""
    try:
        values = json.loads(line)
    except RecursionError:
        raise ValueError("lists in lists, deeper than Python's stack") from None
    if not isinstance(values, dict):
        raise ValueError(f"{values!r:.40} is no object")
    for name, kind in types.items():
        if type(values.get(name)) is not kind:
            raise ValueError(f"{name} is {values.get(name)!r:.40}")
    return {name: printable(values[name]) if kind is str else values[name] for name, kind in types.items()}


def parse_outputs(content: bytes, runs: int) -> npt.NDArray[np.float32]:
    """Return the array of a ``.npy`` file of float32 that numpy.save wrote; axis 0 has `runs` entries.

    Raises
    ------
    WorkerOutputError
        It is none.
    """
    header = _HEADER.match(content)
    if header is None or header.end() != 10 + int.from_bytes(header[1], "little"):
        raise WorkerOutputError("simulated.npy is no array of float32 as numpy.save writes it.")
    shape = tuple(int(length) for length in header[2].split(b",") if length)
    if shape[:1] != (runs,) or 4 * math.prod(shape) != len(content) - header.end():
        raise WorkerOutputError(f"simulated.npy has shape {shape} in {len(content)} bytes, for {runs} runs.")
    values: npt.NDArray[np.float32] = np.frombuffer(content, np.float32, offset=header.end())
    outputs: npt.NDArray[np.float32] = values.reshape(shape).copy()
    return outputs
