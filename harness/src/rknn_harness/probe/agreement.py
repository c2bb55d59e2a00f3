"""A board's answers against those that `virtual_npu` is built on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from rknn_harness.probe.asking import QUESTIONS
from rknn_harness.probe.question import FAILED, SENTENCES, UNDECIDED
from rknn_harness.report.board_facts import BoardAnswer, BoardFacts


@attrs.frozen
class Disagreement:
    """A question whose answer differs from that of `virtual_npu`.

    Attributes
    ----------
    question : str
        Its name.
    answer, assumed : str
        The board's answer and that of `virtual_npu`, names.
    text : str
        The question and both answers, as sentences.
    """

    question: str
    answer: str
    assumed: str
    text: str


def disagreements(facts: Mapping[str, Any]) -> list[Disagreement]:
    """Compare a facts file's answers with those that `virtual_npu` assumes.

    Parameters
    ----------
    facts : mapping
        As `rknn_harness.probe.facts_file.read_facts` reads it. Times of a virtual board are left out, and
        what is undecided or of another version's questions settles nothing.
    """
    differing = []
    for name, entry in _settled(facts).items():
        question = QUESTIONS[name]
        if entry["answer"] != question.assumed:
            answer = question.answers.get(entry["answer"], entry["answer"])
            text = (
                f"{question.text} {facts['board']}: {answer} {question.decided_in} assumes otherwise: "
                f"{question.answers[question.assumed]}"
            )
            if question.published:
                text += f" That is news: other boards were measured to answer so ({question.published})."
            differing.append(Disagreement(name, entry["answer"], question.assumed, text))
    return differing


def for_report(facts: Mapping[str, Any]) -> BoardFacts:
    """Return a facts file's answers as a run's report shows them, those of a clock aside.

    `facts` is what `rknn_harness.probe.facts_file.read_facts` reads.
    """
    differing = {each.question: QUESTIONS[each.question] for each in disagreements(facts)}
    answers = []
    for name, question in QUESTIONS.items():
        entry = facts["answers"].get(name)
        if entry is None or question.timed:
            continue
        sentence = question.answers.get(entry["answer"]) or SENTENCES.get(entry["answer"], entry["answer"])
        expected = question.answers[question.assumed] if name in differing else ""
        answers.append(BoardAnswer(name, question.text, sentence, expected, question.published))
    started = facts.get("started")
    when = started if isinstance(started, str) else "unknown"
    return BoardFacts(facts["board"], when, facts["virtual"], tuple(answers))


def unsettled(facts: Mapping[str, Any]) -> list[str]:
    """Return the names of the questions to which the file has no answer."""
    settled = _settled(facts)
    return [
        name for name, question in QUESTIONS.items() if name not in settled and not _idle(facts, question)
    ]


def _settled(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: entry
        for name, entry in facts["answers"].items()
        if name in QUESTIONS
        and entry["answer"] not in (UNDECIDED, FAILED)
        and not _idle(facts, QUESTIONS[name])
    }


def _idle(facts: Mapping[str, Any], question: Any) -> bool:
    """Whether a question has no answer on this board: times where there is no NPU."""
    return bool(facts["virtual"] and question.timed)
