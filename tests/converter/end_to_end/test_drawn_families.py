"""Drawn models of every family: each method within the carried bound of scikit-learn's, or a typed refusal.

300 models on toolkit 2.3.2 and 60 on each other, and of integers 60 in each precision, in full counts; a
tenth on 2.3.2 by default.
"""

from __future__ import annotations

import re
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import scirknn
from rknn_harness.conformance.stage_outputs import RecordingToolkit
from rknn_harness.models.family import families
from rknn_harness.models.family_model import build_family_model
from rknn_harness.plan.drawing import Draw, draw_cases
from rknn_harness.records.case import Case
from rknn_harness.records.specs.family_spec import FamilySpec
from rknn_harness.verdicts.head_bounds import bound_through_head
from rknn_harness.verdicts.method_bounds import method_errors
from rknn_harness.verdicts.reference import Reference, reference
from scirknn.answers import ask
from scirknn.arrays import Floats
from scirknn.bundle import Bundle, read_bundle
from sklearn2rknn import Sklearn2RknnError, Toolkit, ToolkitNotInstallableError, convert, open_toolkit
from sklearn2rknn.passes.toolkit_graph import read_graph
from tests.counts import COUNTED_SET, FULL, counted
from virtual_npu import read

FAMILIES = tuple(families())
COUNTS = {"2.3.2": 300, "2.2.0": 60, "2.3.0": 60, "2.5.0": 60} if FULL else {"2.3.2": 300}
INTEGERS = 60
MOST_REFUSED = {"float16": 0.1, "int16": 0.1, "int8": 0.2}
"""Of a family's models, in integers of those of all families; of a few models one."""


@attrs.frozen
class Trial:
    """What came of a drawn model: why it was refused; or its misses, and its largest error by its bound."""

    refusal: str = ""
    misses: tuple[str, ...] = ()
    share: float = 0.0


@pytest.fixture(scope="module", params=COUNTS)
def version(request: pytest.FixtureRequest) -> Iterator[tuple[str, Toolkit]]:
    try:
        with open_toolkit(request.param) as toolkit:
            yield request.param, toolkit
    except ToolkitNotInstallableError as error:
        pytest.skip(f"needs rknn-toolkit2 {request.param}: {error}")


@pytest.mark.timeout(900)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_drawn_model_keeps_its_carried_bound_or_is_refused(
    family: str, version: tuple[str, Toolkit], tmp_path: Path, record_property: Any
) -> None:
    name, toolkit = version
    count = counted(-(-COUNTS[name] // len(FAMILIES)))
    draw = Draw(("float16",), 0, seed=0, families=(family,), family_count=count)
    trials = try_all(draw, toolkit, tmp_path)
    record_property(COUNTED_SET, summary(f"{name}, float16, {family}", trials))
    judge(trials, draw)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("precision", ["int8", "int16"])
def test_every_drawn_model_of_integers_keeps_its_carried_bound_or_is_refused(
    precision: str, toolkit: Toolkit, tmp_path: Path, record_property: Any
) -> None:
    draw = Draw((precision,), 0, seed=0, families=FAMILIES, family_count=counted(INTEGERS))
    trials = try_all(draw, toolkit, tmp_path)
    record_property(COUNTED_SET, summary(f"2.3.2, {precision}, all families", trials))
    judge(trials, draw)


def try_all(draw: Draw, toolkit: Toolkit, folder: Path) -> list[Trial]:
    return [tried(case, toolkit, folder / f"{number}.rknn") for number, case in enumerate(draw_cases(draw))]


def judge(trials: list[Trial], draw: Draw) -> None:
    assert len(trials) == draw.family_count
    assert [miss for trial in trials for miss in trial.misses] == []
    refusals = [trial.refusal for trial in trials if trial.refusal]
    (precision,) = draw.precisions
    assert len(refusals) <= max(1, MOST_REFUSED[precision] * len(trials)), refusals


def summary(name: str, trials: list[Trial]) -> str:
    """Return a line of the table that the run ends with."""
    refusals = Counter(trial.refusal for trial in trials if trial.refusal)
    missed = sum(bool(trial.misses) for trial in trials)
    converted, share = len(trials) - refusals.total(), 100 * max(trial.share for trial in trials)
    line = f"{name}: {len(trials)} models, {converted} converted, {refusals.total()} refused, {missed} missed"
    reasons = "".join(f"\n    refused {count}: {reason}" for reason, count in sorted(refusals.items()))
    return f"{line}, at most {share:.0f} % of the bound{reasons}"


def tried(case: Case, toolkit: Toolkit, path: Path) -> Trial:
    """Convert a model, and compare every method on rows that the converter has not seen."""
    assert isinstance(case.source, FamilySpec)
    model, recorder = build_family_model(case.source), RecordingToolkit(toolkit)
    precision = None if case.precision == "float16" else case.precision  # trees take none
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            convert(model.estimator, path, precision=precision, example_input=model.fitted, toolkit=recorder)
        except Sklearn2RknnError as error:
            assert list(path.parent.glob(f"{path.stem}.*")) == []
            reason = re.sub(r"(?<!\w)-?\d[-+.e0-9]*", "#", str(error))
            return Trial(f"{case.source.kind}: {type(error).__name__}: {reason:.150}")
        truth, bundle = reference(model.estimator, model.X), read_bundle(path)
        bound = bound_of(bundle, recorder, truth)
        with scirknn.load(path, device="virtual") as loaded:
            errors = np.abs(np.asarray(loaded.raw_output(model.X), np.float64) - truth.answer.output)
            misses = [] if (errors <= bound).all() else [f"The output of {case.id} misses its bound."]
            through_head = bound_through_head(truth, bound)
            misses += method_errors(truth, bound, through_head, lambda name: ask(loaded, name, model.X))
    return Trial("", tuple(misses), float(np.max(errors / np.where(bound > 0, bound, np.inf))))


def bound_of(bundle: Bundle, recorder: RecordingToolkit, truth: Reference) -> Floats:
    """Return the derived bound of the raw outputs: 0 where the host computes all."""
    if bundle.on_host:
        return np.zeros_like(truth.answer.output)
    graph = read_graph(recorder.record_of(bundle).models[-1], bundle)
    stored = graph.file_bound(truth.inputs, [read(content) for _, content in bundle.files()])
    assert stored is not None
    return graph.float32_bound(truth.inputs) + stored
