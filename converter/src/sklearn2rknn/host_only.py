"""Models that the host computes alone: a bundle without a file for the NPU."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from scirknn.answers import answer, ask, gives_numbers, responses_of
from scirknn.bundle import Bundle, metadata_path, write_bundle
from scirknn.bundle.arrays_file import arrays_path
from scirknn.bundle.contents import HOST_PRECISION
from scirknn.steps.members import OfRows
from scirknn.steps.neighbours import NearestAnswers
from scirknn.steps.step import Step, carry_steps
from sklearn2rknn.checking.agreement import Agreement
from sklearn2rknn.checking.check_result import CheckResult
from sklearn2rknn.checking.own_predictions import are_settled, check_own_predictions
from sklearn2rknn.errors import CheckError, ExampleInputError, OptionError
from sklearn2rknn.network.bundle_fields import bundle_fields
from sklearn2rknn.network.network import Network
from sklearn2rknn.options import check_path, source_details
from sklearn2rknn.report import ConversionReport
from sklearn2rknn.rows.example_input import require_rows

_WHERE = "the board's CPU computes it in numpy"
_OF_TREES = "the NPU would compare every threshold of every tree, which costs more than walking the trees"
_OF_MEMBERS = "of models side by side it computes those of trees and of nearest rows"

_LARGEST_DIFFERENCE = 1e-12
"""Of numbers: exponentials and logarithms of two libraries may differ in their last bits."""


def refuse_precision(network: Network, precision: str | None) -> None:
    """Refuse a precision for what is computed in float64 (OptionError)."""
    if precision is not None:
        raise OptionError(
            f"precision is {precision!r:.60}, and {network.estimator} is computed on the host, in float64. "
            "Leave it out."
        )


def convert_on_host(
    model: Any, network: Network, path: Path, target_platform: str, rows: Any
) -> ConversionReport:
    """Write the bundle of a network without layers, and report it.

    Parameters
    ----------
    rows : array-like or None
        Rows of X, on which each method is compared with the estimator's.

    Raises
    ------
    OptionError
        Nothing can be written at `path`.
    ExampleInputError
        scikit-learn refuses the rows; its text.
    CheckError
        A method answers otherwise than the estimator's.
    """
    started = time.monotonic()
    check_path(path, [])
    if rows is not None:
        require_rows(rows)
    check_own_predictions(model, network, rows)
    check = CheckResult() if rows is None else _compare(model, network, rows)
    bundle = Bundle(
        path=path,
        **bundle_fields(network),
        channels=network.n_outputs,
        precision=HOST_PRECISION,
        variants=(),
        details={
            "source": source_details(model, network.weights_digest()),
            "check": check.to_json(),
        },
    )
    write_bundle(bundle, {})
    files = [file for file in (metadata_path(path), arrays_path(path)) if file.exists()]
    return ConversionReport(
        path=path,
        files={file.name: file.stat().st_size for file in files},
        samples=(),
        estimator=network.estimator,
        task=network.task,
        head=network.head,
        widths=network.widths,
        precision=HOST_PRECISION,
        accuracy="single",
        activations=(),
        target_platform=target_platform,
        toolkit=None,
        placement={"npu": 0, "cpu": 0, "layers": []},
        ranges=[],
        check=check,
        seconds=round(time.monotonic() - started, 3),
        methods=tuple(responses_of(network)),
        why_on_host=f"{_WHERE}: {_OF_MEMBERS if _looks_for_rows(network.epilogue) else _OF_TREES}",
    )


def _compare(model: Any, network: Network, rows: Any) -> CheckResult:
    """Compare every method on rows, which nothing was fitted to."""
    try:
        expected = {method: _quietly(model, method, rows) for method in responses_of(network)}
    except (TypeError, ValueError) as error:
        raise ExampleInputError(f"example_input: {error}\nGive rows of X as predict takes them.") from None
    outputs = network.forward(rows)
    values, bound = carry_steps(network.epilogue, outputs, np.zeros_like(outputs), outputs)
    is_sure = are_settled(bound, _LARGEST_DIFFERENCE * np.maximum(1.0, np.abs(values)))
    if not is_sure.any():
        return CheckResult()
    largest, rounding = 0.0, _float32_rounding(network.epilogue)
    for method in expected:
        ours, theirs = answer(network, method, values[is_sure]), expected[method][is_sure]
        if ours.dtype.kind not in "fc":
            if not np.array_equal(ours, theirs):
                raise CheckError("check", f"{method} gives other labels than {type(model).__name__}'s.")
            continue
        is_same = (ours == theirs) | (np.isnan(ours) & np.isnan(theirs))
        scale = np.maximum(1.0, np.abs(np.where(np.isfinite(theirs), theirs, 1.0)))
        with np.errstate(invalid="ignore"):
            difference = np.where(is_same, 0.0, np.abs(ours - theirs) / scale).max(initial=0.0)
        if not difference <= _LARGEST_DIFFERENCE + rounding:
            raise CheckError("check", f"{method} differs from {type(model).__name__}'s by {difference:.2g}.")
        largest = max(largest, float(difference))
    labels = None if gives_numbers(network) else 1.0
    agreement = Agreement(max_error=largest, max_probability_error=largest, labels=labels, r2=None)
    count = int(is_sure.sum())
    return CheckResult("given", count, held_out=count, stages={"host": agreement})


def _float32_rounding(steps: Iterable[Step]) -> float:
    """Return how far means of neighbours' float32 targets, which scikit-learn adds in float32, may be off."""
    errors = []
    for each in _all_steps(steps):
        if isinstance(each, NearestAnswers) and each.weights == "uniform":
            is_float32 = (each.answers.astype(np.float32) == each.answers).all() and (each.answers % 1).any()
            errors.append(is_float32 * each.count * 2.0**-24 * float(np.abs(each.answers).max()))
    return max(errors, default=0.0)


def _looks_for_rows(steps: Iterable[Step]) -> bool:
    return any(isinstance(each, OfRows) for each in _all_steps(steps))


def _all_steps(steps: Iterable[Step]) -> Iterator[Step]:
    """Yield steps and, at any depth, those that they compute themselves."""
    for each in steps:
        yield each
        yield from _all_steps(each.held)


def _quietly(model: Any, method: str, rows: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names of columns, and of the logarithm of 0
        return np.asarray(ask(model, method, rows))
