"""Ask every question, whatever the outcome of the others."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import attrs

from rknn_harness.conformance.toolkit_failure import toolkit_failure
from rknn_harness.errors import BoardError, InfraError
from rknn_harness.probe.bench import Bench, OutOfTime
from rknn_harness.probe.question import FAILED, Answer, Question
from rknn_harness.probe.questions.elementwise import ELEMENTWISE_QUESTIONS
from rknn_harness.probe.questions.float_arithmetic import FLOAT_QUESTIONS
from rknn_harness.probe.questions.graph_forms import FORM_QUESTIONS
from rknn_harness.probe.questions.integer_arithmetic import INTEGER_QUESTIONS
from rknn_harness.probe.questions.lookup_steps import STEP_QUESTIONS
from rknn_harness.probe.questions.lookup_tables import LOOKUP_QUESTIONS
from rknn_harness.probe.questions.program_limits import LIMIT_QUESTIONS
from rknn_harness.probe.questions.sameness import SAMENESS_QUESTIONS
from rknn_harness.probe.questions.timing import TIMING_QUESTIONS
from sklearn2rknn.errors import ConversionError, Sklearn2RknnError

QUESTIONS: Final[Mapping[str, Question]] = {
    question.name: question
    for question in (
        *FORM_QUESTIONS,
        *SAMENESS_QUESTIONS,
        *FLOAT_QUESTIONS,
        *ELEMENTWISE_QUESTIONS,
        *LOOKUP_QUESTIONS,
        *STEP_QUESTIONS,
        *LIMIT_QUESTIONS,
        *INTEGER_QUESTIONS,
        *TIMING_QUESTIONS,
    )
}
"""All that is asked, by name, in the order of asking."""


@attrs.frozen
class Answered:
    """A question, its answer, and the seconds it took."""

    question: Question
    answer: Answer
    seconds: float


def ask(
    questions: Iterable[Question],
    bench: Bench,
    *,
    on_answer: Callable[[Answered], None] = lambda _: None,
    on_lost_board: Callable[[InfraError], None] = lambda _: None,
) -> list[Answered]:
    """Ask the questions in turn.

    Parameters
    ----------
    questions : iterable of Question
    bench : Bench
    on_answer : function
        Called with each as it is answered.
    on_lost_board : function
        Called when the connection to the board failed, before the next question.

    Returns
    -------
    list of Answered
        One a question: those that could not be asked are `FAILED`, with a note why.
    """
    answers = []
    for question in questions:
        started = time.monotonic()
        try:
            bench.left()
            answer = question.ask(bench)
        except OutOfTime as error:
            answer = Answer(FAILED, note=str(error))
        except InfraError as error:
            answer = Answer(FAILED, note=f"The connection to the board failed: {error}")
            on_lost_board(error)
        except ConversionError as error:
            answer = Answer(FAILED, note=toolkit_failure(error))
        # ValueError: a file or an output that the question does not expect.
        except (BoardError, Sklearn2RknnError, ValueError, OSError) as error:
            answer = Answer(FAILED, note=f"{type(error).__name__}: {error}")
        answers.append(Answered(question, answer, round(time.monotonic() - started, 2)))
        on_answer(answers[-1])
    return answers
