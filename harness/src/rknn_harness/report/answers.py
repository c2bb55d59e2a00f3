"""What a run answers: one sentence for each precision, and one for the chip."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

from rknn_harness.records.case import PRECISIONS
from rknn_harness.records.outcomes import Kind
from rknn_harness.records.query import Records
from rknn_harness.report.numbers import Question

Sentence = tuple[str | Question, ...]

_NOT_ASKED = "No NPU took part: the board was virtual. Rounding on the chip, and speed, need a real one."


@attrs.frozen
class Answer:
    """An answer.

    Attributes
    ----------
    where : mapping of str to str
        What it is about: a toolkit and a precision, or a board; empty for a chip that was not asked.
    title : str
        Yes, or not, in a few words.
    sentence : tuple of str and Question
        What it rests on.
    """

    where: Mapping[str, str]
    title: str
    sentence: Sentence


def answers(records: Records, virtual: Mapping[str, bool]) -> tuple[Answer, ...]:
    """Answer a run's question.

    Parameters
    ----------
    records : Records
    virtual : mapping of str to bool
        Whether each board of the run has no NPU.
    """
    return (*_of_precisions(records, virtual), *_of_chips(records, virtual))


def _of_precisions(records: Records, virtual: Mapping[str, bool]) -> Iterator[Answer]:
    for toolkit in records.distinct("toolkit"):
        for precision in PRECISIONS:
            where = {"toolkit": toolkit, "precision": precision}
            if records.where(where):
                title = _title(records, where)
                is_proved = not (title == "Yes" and virtual and all(virtual.values()))
                yield Answer(
                    where, title if is_proved else "Yes, in the virtual NPU", _counts(records, where)
                )


def _of_chips(records: Records, virtual: Mapping[str, bool]) -> Iterator[Answer]:
    chips = [board for board, is_virtual in virtual.items() if not is_virtual]
    if not chips:
        yield Answer({}, "Not asked", (_NOT_ASKED,))
    for board in chips:
        where = {"board": board}
        same, other = (
            Question("count", "cases", {**where, "property.board_equals_virtual_npu": end})
            for end in ("held", "failed")
        )
        sentence = _counts(records, where)
        if records.where(same.where) or records.where(other.where):
            sentence += (" It computes what the virtual NPU does in ", same, " cases, in ", other, " not.")
        yield Answer(where, _title(records, where), sentence)


def _title(records: Records, where: Mapping[str, str]) -> str:
    kinds = {kind for kind in Kind if records.where({**where, "kind": kind.value})}
    if Kind.WRONG in kinds:
        return "Not yet"
    if Kind.KNOWN in kinds:
        return "Yes, but for known failures"
    if Kind.RIGHT in kinds:
        return "Yes"
    return "All refused" if Kind.REFUSED in kinds else "Not known"


def _counts(records: Records, where: Mapping[str, str]) -> Sentence:
    right, judged = (
        Question("count", "cases", {**where, **more}) for more in ({"kind": "right"}, {"judged": "yes"})
    )
    parts: list[str | Question] = [right, " of ", judged, " that were judged are right"]
    for kind, words in (
        (Kind.WRONG, " wrong"),
        (Kind.KNOWN, " known to fail"),
        (Kind.REFUSED, " refused"),
        (Kind.UNTRIED, " not tried"),
    ):
        question = Question("count", "cases", {**where, "kind": kind.value})
        if records.where(question.where):
            parts += ["; ", question, words]
    return (*parts, ".")
