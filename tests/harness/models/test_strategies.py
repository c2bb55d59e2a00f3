"""Random networks are what they claim, are built again from their own JSON, and shrink."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import find, given, settings
from hypothesis import strategies as st

from rknn_harness.models.random_mlp import (
    build_estimator,
    build_other_rows,
    build_rows,
    feature_scales,
    has_poisson,
)
from rknn_harness.models.strategies import cases, specs
from rknn_harness.records.case import Case
from rknn_harness.records.specs.mlp_spec import ACTIVATIONS, TASKS, MlpSpec
from rknn_harness.verdicts.reference import reference

SETTINGS = settings(max_examples=20, deadline=None)


@SETTINGS
@given(specs())
def test_a_spec_is_built_as_it_says(spec: MlpSpec) -> None:
    estimator, X = build_estimator(spec), build_rows(spec)
    assert [layer.shape for layer in estimator.coefs_] == list(
        zip(spec.widths, spec.widths[1:], strict=False)
    )
    assert X.shape == (spec.rows, spec.n_features)
    assert X.flags.c_contiguous
    truth = reference(estimator, X)
    if spec.task in ("regressor", "poisson"):
        assert truth.task == "regressor"
        assert truth.answer.predictions.ndim == (1 if spec.n_outputs == 1 else 2)
    else:
        assert truth.classes is not None
        kind = {"string": "U", "int": "i", "bool": "b"}[spec.labels]
        assert truth.classes.dtype.kind == ("i" if spec.task == "multilabel" else kind)


@SETTINGS
@given(cases(precisions=("float16", "int8")))
def test_a_case_comes_back_from_its_json_and_builds_the_same_network(case: Case) -> None:
    back = Case.from_json(json.loads(json.dumps(case.to_json())))
    assert back == case
    assert isinstance(case.source, MlpSpec)
    assert isinstance(back.source, MlpSpec)
    one, two = build_estimator(case.source), build_estimator(back.source)
    for first, second in zip(one.coefs_ + one.intercepts_, two.coefs_ + two.intercepts_, strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("seed", range(8))
def test_other_rows_are_in_the_features_scales_too(seed: int) -> None:
    spec = MlpSpec(40, (), "identity", "binary", 1, "int", None, 64, seed, decades=6)
    scales = feature_scales(spec)
    assert scales.max() / scales.min() > 1e9
    rows, others = build_rows(spec) / scales, build_other_rows(spec, 64) / scales
    for standard in (rows, others):
        # Of 64 normal numbers none is beyond 8, and some are beyond 0.1.
        assert ((np.abs(standard) < 8).all(axis=0) & (np.abs(standard).max(axis=0) > 0.1)).all()
    assert not np.isin(others, rows).any()


def test_it_shrinks_to_the_least_network_that_still_fails() -> None:
    spec = find(specs(), lambda spec: "tanh" in spec.activation and max(spec.hidden, default=0) > 31)
    assert spec.hidden == (32,)
    assert (spec.n_features, spec.n_outputs, spec.rows, spec.seed) == (1, 1, 1, 0)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_kind_is_drawn(task: str, activation: str) -> None:
    if task == "poisson" and not has_poisson():
        pytest.skip("this scikit-learn has no MLPRegressor(loss='poisson'); 1.7 and later have")
    find(specs(), lambda spec: (spec.task, spec.activation) == (task, activation) and len(spec.hidden) > 0)


@given(st.sampled_from(["activation", "task", "labels"]))
def test_a_spec_that_makes_no_sense_is_refused(field: str) -> None:
    good = MlpSpec(3, (), "relu", "regressor", 1, "int", None, 1, 0).to_json()
    with pytest.raises(ValueError, match="No network has"):
        MlpSpec.from_json({**good, field: "other"})
