"""How a case can end, why, the stages where it can fail, and the exit code of a run."""

from __future__ import annotations

import enum
from collections.abc import Iterable

__all__ = ["FAIL", "INCOMPLETE", "PASS", "Cause", "ExitCode", "Kind", "Outcome", "Stage", "exit_code"]


class Outcome(str, enum.Enum):
    """The end of one case."""

    PASS = "pass"
    MISMATCH = "mismatch"
    UNSUPPORTED = "unsupported"
    CONVERT_ERROR = "convert_error"
    LOAD_ERROR = "load_error"
    RUN_ERROR = "run_error"
    TIMEOUT = "timeout"
    CPU_FALLBACK = "cpu_fallback"
    NONDETERMINISTIC = "nondeterministic"
    INFRA_ERROR = "infra_error"

    @property
    def meaning(self) -> str:
        """One line for people."""
        return _MEANINGS[self]

    @property
    def is_failure(self) -> bool:
        """Whether the outcome counts against the toolkit or the board.

        A converter that refuses a model with a reason (``unsupported``) does its work, and an infrastructure
        error (``infra_error``) is no result of either.
        """
        return self not in (Outcome.PASS, Outcome.UNSUPPORTED, Outcome.INFRA_ERROR)


_MEANINGS = {
    Outcome.PASS: "agrees with scikit-learn within its limits",
    Outcome.MISMATCH: "the numbers are not what they must be",
    Outcome.UNSUPPORTED: "the converter refused the model and said why",
    Outcome.CONVERT_ERROR: "the toolkit failed to convert the model",
    Outcome.LOAD_ERROR: "the board did not take the bundle",
    Outcome.RUN_ERROR: "the board failed while it ran the model",
    Outcome.TIMEOUT: "a step did not end within its deadline",
    Outcome.CPU_FALLBACK: "a layer was placed on the CPU",
    Outcome.NONDETERMINISTIC: "the same input gave two outputs",
    Outcome.INFRA_ERROR: "the connection to the board or the toolkit failed; nothing is known of the model",
}


class Kind(str, enum.Enum):
    """How a result counts."""

    RIGHT = "right"
    REFUSED = "refused"
    WRONG = "wrong"
    KNOWN = "known"
    UNTRIED = "not tried"


class Cause(str, enum.Enum):
    """Why a case did not pass, where a property's name does not say it already."""

    RANGE = "range"
    COARSE = "coarse"
    MODEL = "model"
    ROWS = "rows"
    OPTION = "option"
    TOLERANCE = "tolerance"
    R2 = "r2"
    LABEL_SHARE = "label_share"
    NO_NUMBERS = "no_numbers"
    RECORDED = "recorded"
    OUTDATED = "outdated"

    @property
    def meaning(self) -> str:
        """One line for people."""
        return _CAUSES[self]


_CAUSES = {
    Cause.RANGE: "numbers of the model are too large or too small for the precision",
    Cause.COARSE: "the precision is too coarse, by the converter's own check of the file",
    Cause.MODEL: "the converter does not take such a model",
    Cause.ROWS: "the example rows do not fit the model",
    Cause.OPTION: "an option of the conversion does not fit",
    Cause.TOLERANCE: "a probability is further off than the promised tolerance",
    Cause.R2: "R² is lower than the promised one",
    Cause.LABEL_SHARE: "fewer labels are scikit-learn's than promised",
    Cause.NO_NUMBERS: "the answer has another shape, or holds no finite numbers",
    Cause.RECORDED: "the answers are not the recorded ones",
    Cause.OUTDATED: "expected to fail, and passed: the expectations are out of date",
}


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
