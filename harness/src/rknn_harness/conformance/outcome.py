"""How a case ends: its outcome, its reason, its duration."""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.verdicts.judge import Verdict

STAGES_OFF_BOARD = (None, Stage.SIMULATOR, Stage.VIRTUAL_NPU)
"""Stages of verdicts that a file which the converter keeps back accounts for; None is a pass."""

_OF_TIME = ("batch_latency", "latency_baseline")
"""Properties that say nothing of a model's numbers: the outcome is not theirs."""

Array = np.ndarray[Any, Any]


class CaseAborted(Exception):
    """The case ended before it could be judged."""

    def __init__(self, outcome: Outcome, stage: Stage | None, reason: object) -> None:
        super().__init__(str(reason))
        self.outcome, self.stage = outcome, stage


def harness_failure(error: Exception) -> str:
    """Return a sentence on an error of the harness itself."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"The harness itself failed: {type(error).__name__}: {error}{place}"


def refused_verdict(verdict: Verdict, reason: str) -> Verdict:
    """Turn the verdict on a file that the converter hands nobody into what it is."""
    return attrs.evolve(
        verdict,
        outcome=Outcome.UNSUPPORTED,
        stage=verdict.stage or Stage.VIRTUAL_NPU,
        reason=f"The converter hands over no such file unless told to: {reason}",
        properties={name: wrong for name, wrong in verdict.properties.items() if not wrong},
    )


def with_properties(verdict: Verdict, more: Mapping[str, tuple[Stage, str | None]]) -> Verdict:
    """Add properties to a verdict; one that failed is a pass no longer, but for those of time."""
    told = {name: "" if wrong is None else f"{stage.value}: {wrong}" for name, (stage, wrong) in more.items()}
    verdict = attrs.evolve(verdict, properties={**verdict.properties, **told})
    for name, (stage, wrong) in more.items():
        if wrong is not None and verdict.outcome is Outcome.PASS and name not in _OF_TIME:
            outcome = Outcome.NONDETERMINISTIC if name == "digest_reproducible" else Outcome.MISMATCH
            verdict = attrs.evolve(verdict, outcome=outcome, stage=stage, reason=wrong)
    return verdict


class PhaseClock:
    """Adds up wall time by phase."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, phase: str) -> Iterator[None]:
        """Add the time that a block takes to a phase."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[phase] = self.seconds.get(phase, 0.0) + time.monotonic() - started
