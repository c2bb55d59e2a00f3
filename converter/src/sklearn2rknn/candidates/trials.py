"""Convert a model in each precision, one after another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import attrs

from sklearn2rknn.build import Attempt, Job, build_with_room
from sklearn2rknn.candidates.candidate import Candidate, choose
from sklearn2rknn.errors import ConversionError, ExampleInputError, OptionError, RangeError
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.precision import Precision
from sklearn2rknn.tolerances import FEWEST_ROWS, promises
from sklearn2rknn.toolkit.pins.versions import ToolkitVersion
from sklearn2rknn.toolkit.toolkit import Toolkit

BEST = "best"
"""What a precision is called that is to be chosen."""

KINDS = (
    ("float16", Precision.FLOAT16, "single"),
    ("float16 pairs", Precision.FLOAT16, "double"),
    ("int16", Precision.INT16, "auto"),
    ("int8", Precision.INT8, "auto"),
)
"""Name, precision and accuracy of each candidate."""


@attrs.frozen(eq=False)
class Trial:
    """A candidate, and what a bundle of it is made from where it was not refused."""

    candidate: Candidate
    built: tuple[Job, Network, Attempt] | None = None


def first_precision(toolkit: ToolkitVersion, target_platform: str) -> Precision:
    """Return a precision that the chip has."""
    is_integer_only = target_platform.lower() in toolkit.integer_only_platforms
    return Precision.INT8 if is_integer_only else Precision.FLOAT16


def choose_trial(trials: Sequence[Trial]) -> tuple[Job, Network, Attempt]:
    """Return what the chosen candidate's bundle is made from.

    Raises
    ------
    ConversionError
        Every candidate was refused.
    """
    chosen = choose([trial.candidate for trial in trials])
    built = next((trial.built for trial in trials if trial.candidate is chosen), None)
    if built is None:
        reasons = "\n".join(f"{trial.candidate.name}: {trial.candidate.refusal}" for trial in trials)
        raise ConversionError("check", "no precision is possible.", reasons)
    return built


def require_held_out(job: Job) -> None:
    """Refuse rows that leave too few to compare precisions on.

    Raises
    ------
    ExampleInputError
    OptionError
        The check is off.
    """
    if job.request.options.check == "off":
        raise OptionError("Precisions are compared by the check. Drop check='off'.")
    if job.own is None:
        count = 0 if job.rows is None else len(job.rows)
        raise ExampleInputError(
            f"Precisions are compared on rows that no file was built from, and {count} rows leave too few. "
            f"Give {2 * FEWEST_ROWS} rows of X or more, some hundred are better."
        )


def try_candidates(job: Job, toolkit: Toolkit) -> list[Trial]:
    """Convert a job in each precision; one that is not possible has the reason.

    Raises
    ------
    ToolkitError
        The toolkit cannot be started.
    """
    return [_try(job, toolkit, *kind) for kind in KINDS]


def _try(job: Job, toolkit: Toolkit, name: str, precision: Precision, accuracy: str) -> Trial:
    candidate = Candidate(name=name, precision=precision.value, accuracy=accuracy)
    try:
        options = replace(job.request.options, accuracy=accuracy)
        request = attrs.evolve(job.request, precision=precision, options=options)
        job = attrs.evolve(job, request=request)
        prepared, attempt = build_with_room(job, toolkit, job.network())
    except (ConversionError, OptionError, RangeError) as error:
        return Trial(attrs.evolve(candidate, refusal=str(error).splitlines()[0]))
    promise = promises("float16", [layer.activation for layer in job.source.layers])[-1]
    required = options.require(promise)
    failures = (file.check.failed_limit(required) for file in attempt.files.values())
    candidate = attrs.evolve(
        candidate,
        size=sum(len(file.rknn) for file in attempt.files.values()),
        check=attempt.check,
        estimate=attempt.estimate_run(),
        falls_short=next(filter(None, failures), ""),
    )
    return Trial(candidate, (job, prepared, attempt))
