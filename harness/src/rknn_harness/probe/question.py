"""A question to an NPU, its possible answers, and how one is read from raw outputs."""

from __future__ import annotations

import base64
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, Final

import attrs
import numpy as np

from rknn_harness.probe.bench import Bench
from rknn_harness.probe.models import Model
from scirknn.arrays import Array

NOTES = "github.com/gregordinary/rockchip-npu-notes at 224b1390, September 2026"
"""Who measured two RK3588s and an RK3576, bit for bit."""

UNDECIDED = "undecided"
"""None of the possible answers fits the outputs, or more than one does; the raw data show more."""

FAILED = "failed"
"""The models could not be built, loaded or run, or the time was up; the note says which."""


SENTENCES: Final = {
    UNDECIDED: "None of the possible answers fits alone; the raw data are kept.",
    FAILED: "It could not be asked.",
}
"""What stands for an answer where there is none."""


@attrs.frozen
class Answer:
    """The answer to a question.

    Attributes
    ----------
    key : str
        One of the question's answers, `UNDECIDED` or `FAILED`.
    figures : mapping
        Numbers, JSON.
    raw : mapping of str to dict
        Arrays that went in and came out, as `packed` makes them.
    note : str
    """

    key: str
    figures: Mapping[str, Any] = attrs.field(factory=dict)
    raw: Mapping[str, Any] = attrs.field(factory=dict, repr=False)
    note: str = ""

    @classmethod
    def of_run(cls, key: str, figures: Mapping[str, Any], x: Array, y: Array, note: str = "") -> Answer:
        """Return an answer read from the outputs `y` for the rows `x`."""
        return cls(key, figures, {"x": packed(x), "y": packed(y)}, note)


@attrs.frozen(kw_only=True)
class Question(ABC):
    """One thing that documents leave open.

    Attributes
    ----------
    name : str
        Its name in facts files; its meaning never changes.
    text : str
        The question, a sentence.
    why : str
        What depends on it.
    answers : mapping of str to str
        Each possible answer's name, and the sentence that it stands for.
    assumed : str
        The answer that `virtual_npu` is built on.
    decided_in : str
        The module to change should a board answer otherwise.
    timed : bool
        Whether it is answered by a clock, which a virtual board cannot.
    published : str
        Who measured the assumed answer on silicon, and where it is written; empty where nobody has. The
        question is then a check: another answer is news.
    blind_spot : str
        What the run cannot show, whatever the answer, as a sentence.
    """

    name: str
    text: str
    why: str
    answers: Mapping[str, str]
    assumed: str
    decided_in: str
    timed: bool = False
    published: str = ""
    blind_spot: str = ""

    @abstractmethod
    def ask(self, bench: Bench) -> Answer:
        """Build and run the models, and return the answer."""


@attrs.frozen(kw_only=True)
class FunctionQuestion(Question):
    """A question that a function asks: `run` builds and runs the models."""

    run: Callable[[Bench], Answer] = attrs.field(eq=False, repr=False)

    def ask(self, bench: Bench) -> Answer:
        """Build and run the models, and return the answer."""
        return self.run(bench)


@attrs.frozen(kw_only=True)
class PredictionQuestion(Question):
    """A question whose possible answers each predict the outputs.

    Attributes
    ----------
    model : Model
    rows : numpy.ndarray of float32, shape (N, C)
    predict : function
        Given the model file's bytes, each answer's prediction, shape (N, K); NaN predicts NaN.
    tolerance : float
        By how much an output may miss its prediction; 0 compares bits.
    """

    model: Model
    rows: Array = attrs.field(eq=False, repr=False)
    predict: Callable[[bytes], Mapping[str, Array]] = attrs.field(eq=False, repr=False)
    tolerance: float = 0.0

    def ask(self, bench: Bench) -> Answer:
        """Run the model once and compare."""
        predictions = self.predict(bench.file(self.model))
        outputs = bench.run(self.model, self.rows)
        misses = {
            key: _count_misses(outputs, prediction, self.tolerance) for key, prediction in predictions.items()
        }
        fitting = [key for key, count in misses.items() if not count]
        key = fitting[0] if len(fitting) == 1 else UNDECIDED
        figures: dict[str, Any] = {"values": outputs.size, "missed": misses, "surviving": fitting}
        note = "" if key != UNDECIDED else _explain_misses(fitting, misses, outputs.size)
        return Answer.of_run(key, figures, self.rows, outputs, note)


def _count_misses(outputs: Array, prediction: Array, tolerance: float) -> int:
    """Count the outputs that are not as predicted; the sign of zero does not count."""
    with np.errstate(invalid="ignore"):
        near = np.abs(outputs.astype(np.float64) - prediction) <= tolerance
    same = (outputs == prediction) | (np.isnan(outputs) & np.isnan(prediction)) | near
    return int((~same).sum())


def _explain_misses(fitting: list[str], misses: Mapping[str, int], values: int) -> str:
    if fitting:
        return f"{', '.join(fitting)} all fit."
    nearest = min(misses, key=lambda key: misses[key])
    return f"Nothing fits; nearest is {nearest!r}, which misses {misses[nearest]} of {values} values."


def packed(values: Array) -> dict[str, Any]:
    """Return an array as JSON, bit for bit."""
    array = np.ascontiguousarray(values, dtype="<f4")
    data = base64.b64encode(zlib.compress(array.tobytes(), 9)).decode("ascii")
    return {"dtype": "<f4", "shape": list(array.shape), "zlib+base64": data}


def unpacked(entry: Mapping[str, Any]) -> Array:
    """Return the array that `packed` wrote.

    Raises
    ------
    ValueError, KeyError, TypeError, zlib.error
        It is no such array.
    """
    size = 4 * int(np.prod(entry["shape"], dtype=np.int64))
    stream = zlib.decompressobj()
    data = stream.decompress(base64.b64decode(entry["zlib+base64"], validate=True), size + 1)
    values: Array = np.frombuffer(data, "<f4").reshape(entry["shape"])
    return values
