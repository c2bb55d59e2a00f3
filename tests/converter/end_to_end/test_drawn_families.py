"""Drawn models of every family: each method within the carried bound of scikit-learn's, or a typed refusal.

300 models on toolkit 2.3.2 and 60 on each other in full counts; a tenth on 2.3.2 by default.
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
from rknn_harness.records.specs.family_spec import FamilySpec
from rknn_harness.verdicts.head_bounds import bound_through_head
from rknn_harness.verdicts.method_bounds import method_errors
from rknn_harness.verdicts.reference import Reference, reference
from scirknn.answers import ask
from scirknn.arrays import Floats
from scirknn.bundle import Bundle, read_bundle
from sklearn2rknn import Sklearn2RknnError, Toolkit, ToolkitNotInstallableError, convert, open_toolkit
from sklearn2rknn.passes.toolkit_graph import read_graph
from tests.counts import FULL, counted

FAMILIES = tuple(families())
COUNTS = {"2.3.2": 300, "2.2.0": 60, "2.3.0": 60, "2.5.0": 60} if FULL else {"2.3.2": 300}
MOST_REFUSED = 0.1
"""Of a family's models; of a few models one."""


@attrs.frozen
class Trial:
    """What came of a drawn model: why it was refused, or the largest error as a share of the raw bound."""

    refusal: str = ""
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
    draw, trials = Draw((), 0, seed=0, families=(family,), family_count=count), []
    for number, case in enumerate(draw_cases(draw)):
        assert isinstance(case.source, FamilySpec)
        trials.append(tried(case.source, toolkit, tmp_path / f"{number}.rknn"))
    refusals = Counter(trial.refusal for trial in trials if trial.refusal)
    share = max(trial.share for trial in trials)
    record_property("bound_share", share)
    record_property("refused", dict(refusals))
    print(f"{name} {family}: {len(trials)} models, {share:.1%} of the bound, refused: {dict(refusals)}")
    assert refusals.total() <= max(1, MOST_REFUSED * len(trials)), refusals


def tried(spec: FamilySpec, toolkit: Toolkit, path: Path) -> Trial:
    """Convert a model, and compare every method on rows that the converter has not seen."""
    model, recorder = build_family_model(spec), RecordingToolkit(toolkit)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            convert(model.estimator, path, example_input=model.fitted, toolkit=recorder)
        except Sklearn2RknnError as error:
            assert list(path.parent.glob(f"{path.stem}.*")) == []
            reason = re.sub(r"-?\d[-+.e0-9]*", "#", str(error))
            return Trial(f"{spec.kind}: {type(error).__name__}: {reason:.150}")
        truth, bundle = reference(model.estimator, model.X), read_bundle(path)
        bound = bound_of(bundle, recorder, truth)
        with scirknn.load(path, device="virtual") as loaded:
            errors = np.abs(np.asarray(loaded.raw_output(model.X), np.float64) - truth.answer.output)
            assert (errors <= bound).all(), spec
            through_head = bound_through_head(truth, bound)
            misses = method_errors(truth, bound, through_head, lambda name: ask(loaded, name, model.X))
            assert list(misses) == [], spec
    return Trial(share=float(np.max(errors / np.where(bound > 0, bound, np.inf))))


def bound_of(bundle: Bundle, recorder: RecordingToolkit, truth: Reference) -> Floats:
    """Return the derived bound of the raw outputs: 0 where the host computes all."""
    if bundle.on_host:
        return np.zeros_like(truth.answer.output)
    graph = read_graph(recorder.record_of(bundle).models[-1], bundle)
    stored = graph.file_bound(truth.inputs, ())
    assert stored is not None
    return graph.float32_bound(truth.inputs) + stored
