"""What the corpus keeps is tried as it was, though the strategies and the seeds have changed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from rknn_harness.conformance.model_under_test import model_of
from rknn_harness.plan import corpus
from rknn_harness.plan.corpus import CorpusError, corpus_cases, keep, read_case, read_verdict
from rknn_harness.plan.drawing import Draw
from rknn_harness.plan.plan import make_plan
from rknn_harness.records.case import random_case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.verdicts.reference import Reference, reference
from scirknn.arrays import Array
from tests.harness.samples import SPEC

CASE = random_case(attrs.evolve(SPEC, decades=2), "int8", "2.3.2", (8,))
RESULT = CaseResult(
    CASE, Outcome.MISMATCH, Stage.VIRTUAL_NPU, "off by one", properties={"bound": "off by one"}
)


def test_a_failure_comes_back_from_its_files(tmp_path: Path) -> None:
    keep(tmp_path, RESULT)
    keep(tmp_path, RESULT)
    (case,) = corpus_cases(tmp_path)
    assert case == attrs.evolve(CASE, kind="corpus")
    assert read_verdict(tmp_path / case.id) == ("mismatch", "virtual_npu")
    kept, first = model_of(case, tmp_path), model_of(CASE)
    np.testing.assert_array_equal(kept.X, first.X)
    np.testing.assert_array_equal(kept.estimator.predict(kept.X), first.estimator.predict(first.X))
    assert sorted(path.name for path in tmp_path.iterdir()) == [case.id]


def test_what_a_killed_run_left_half_written_is_no_entry(tmp_path: Path) -> None:
    keep(tmp_path, RESULT)
    (tmp_path / f".{CASE.id}.1.part").mkdir()
    shutil.copy(tmp_path / CASE.id / "spec.json", tmp_path / f".{CASE.id}.1.part")
    assert [case.id for case in corpus_cases(tmp_path)] == [CASE.id]


def test_two_runs_keep_one_failure_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def answer_late(estimator: Any, X: Array) -> Reference:
        (tmp_path / CASE.id).mkdir()  # by the other run
        (tmp_path / CASE.id / "spec.json").touch()
        return reference(estimator, X)

    monkeypatch.setattr(corpus, "reference", answer_late)
    keep(tmp_path, RESULT)
    assert [path.name for path in tmp_path.iterdir()] == [CASE.id]


def test_an_entry_that_scikit_learn_answers_otherwise_is_told(tmp_path: Path) -> None:
    keep(tmp_path, RESULT)
    path = tmp_path / CASE.id / "expected.npy"
    np.save(path, np.load(path) + 1e-3)
    with pytest.raises(CorpusError, match="no longer the one that was kept"):
        model_of(read_case(tmp_path / CASE.id), tmp_path)


def test_no_entry(tmp_path: Path) -> None:
    assert not list(corpus_cases(tmp_path / "none"))
    with pytest.raises(CorpusError, match="is no entry of a corpus"):
        read_case(tmp_path)


def test_the_corpus_comes_first_and_what_it_holds_is_tried_once(tmp_path: Path) -> None:
    draw = Draw(("float16", "int8"), 5, 5)
    drawn = [entry.case for entry in make_plan(toolkits=["2.3.2"], boards=["virtual"], draw=draw)]
    again = next(case for case in drawn if case.kind == "random")
    off = attrs.evolve(CASE, id="plain", options=(("guard", "off"),))
    corpus = [attrs.evolve(case, kind="corpus") for case in (CASE, again, off)]
    plan = make_plan(toolkits=["2.3.2", "2.5.0"], boards=["virtual"], draw=draw, corpus=corpus)
    for toolkit in ("2.3.2", "2.5.0"):
        found = [entry.case for entry in plan if entry.case.toolkit == toolkit]
        assert [case.id for case in found[:2]] == [CASE.id, again.id]
        assert [case.kind for case in found[:2]] == ["corpus"] * 2
        assert [case.id for case in found].count(again.id) == 1
        assert len(found) == len(drawn) + 1
