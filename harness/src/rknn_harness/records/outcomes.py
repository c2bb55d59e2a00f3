"""How a case can end, why, the stages where it can fail, and the exit code of a run."""

from __future__ import annotations

import enum
from collections.abc import Iterable

__all__ = [
    "FAIL",
    "INCOMPLETE",
    "PASS",
    "Cause",
    "ExitCode",
    "Kind",
    "Outcome",
    "Stage",
    "WithMeaning",
    "exit_code",
]


class WithMeaning(str, enum.Enum):
    """A word of the records, and one line for people."""

    meaning: str

    def __new__(cls, word: str, meaning: str = "") -> WithMeaning:
        """Make a member that equals its word."""
        member = str.__new__(cls, word)
        member._value_, member.meaning = word, meaning
        return member


class Outcome(WithMeaning):
    """The end of one case."""

    PASS = "pass", "agrees with scikit-learn within its limits"
    MISMATCH = "mismatch", "the numbers are not what they must be"
    UNSUPPORTED = "unsupported", "the converter refused the model and said why"
    CONVERT_ERROR = "convert_error", "the toolkit failed to convert the model"
    LOAD_ERROR = "load_error", "the board did not take the bundle"
    RUN_ERROR = "run_error", "the board failed while it ran the model"
    TIMEOUT = "timeout", "a step did not end within its deadline"
    CPU_FALLBACK = "cpu_fallback", "a layer was placed on the CPU"
    NONDETERMINISTIC = "nondeterministic", "the same input gave two outputs"
    INFRA_ERROR = (
        "infra_error",
        "the connection to the board or the toolkit failed; nothing is known of the model",
    )

    @property
    def is_failure(self) -> bool:
        """Whether the outcome counts against the toolkit or the board.

        A converter that refuses a model with a reason (``unsupported``) does its work, and an infrastructure
        error (``infra_error``) is no result of either.
        """
        return self not in (Outcome.PASS, Outcome.UNSUPPORTED, Outcome.INFRA_ERROR)


class Kind(str, enum.Enum):
    """How a result counts."""

    RIGHT = "right"
    REFUSED = "refused"
    WRONG = "wrong"
    KNOWN = "known"
    UNTRIED = "not tried"


class Cause(WithMeaning):
    """Why a case did not pass, where a property's name does not say it already."""

    RANGE = "range", "numbers of the model are too large or too small for the precision"
    COARSE = "coarse", "the precision is too coarse, by the converter's own check of the file"
    MODEL = "model", "the converter does not take such a model"
    ROWS = "rows", "the example rows do not fit the model"
    OPTION = "option", "an option of the conversion does not fit"
    TOLERANCE = "tolerance", "a probability is further off than the promised tolerance"
    R2 = "r2", "R² is lower than the promised one"
    LABEL_SHARE = "label_share", "fewer labels are scikit-learn's than promised"
    NO_NUMBERS = "no_numbers", "the answer has another shape, or holds no finite numbers"
    RECORDED = "recorded", "the answers are not the recorded ones"
    OUTDATED = "outdated", "expected to fail, and passed: the expectations are out of date"


class Stage(str, enum.Enum):
    """The stages of one model, in their order."""

    SKLEARN = "sklearn"
    ONNX = "onnx"
    SIMULATOR = "simulator"
    VIRTUAL_NPU = "virtual_npu"
    BOARD = "board"


PASS, FAIL, INCOMPLETE = "PASS", "FAIL", "INCOMPLETE"
"""A verdict in one word; incomplete: nothing is wrong, and not all was tried."""


class ExitCode(enum.IntEnum):
    """A run's exit code."""

    CLEAN = 0
    CONFORMANCE = 1
    USAGE = 2
    INFRASTRUCTURE = 3

    @property
    def word(self) -> str:
        """The verdict of a run or a comparison that ended with it."""
        return {ExitCode.CLEAN: PASS, ExitCode.CONFORMANCE: FAIL}.get(self, INCOMPLETE)


def exit_code(outcomes: Iterable[Outcome]) -> ExitCode:
    """Return the exit code of a run with these outcomes.

    An infrastructure error outranks failures: such a run did not try everything.
    """
    seen = set(outcomes)
    if Outcome.INFRA_ERROR in seen:
        return ExitCode.INFRASTRUCTURE
    return ExitCode.CONFORMANCE if any(outcome.is_failure for outcome in seen) else ExitCode.CLEAN
