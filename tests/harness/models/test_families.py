"""Models of families are what their specs say, and are built again from their own JSON."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pytest
from hypothesis import find, given, settings

from rknn_harness.errors import HarnessError
from rknn_harness.models.family import families, family_names
from rknn_harness.models.family_model import build_family_model
from rknn_harness.models.strategies import family_cases, family_specs, kinds_of
from rknn_harness.records.case import PRECISIONS, Case
from rknn_harness.records.specs.family_spec import FamilySpec
from rknn_harness.verdicts.reference import reference

SETTINGS = settings(max_examples=20, deadline=None)


@SETTINGS
@given(family_cases(kinds_of(family_names(), PRECISIONS), PRECISIONS))
def test_a_case_comes_back_from_its_json_and_builds_the_same_model(case: Case) -> None:
    back = Case.from_json(json.loads(json.dumps(case.to_json())))
    assert back == case
    assert isinstance(case.source, FamilySpec)
    assert isinstance(back.source, FamilySpec)
    one, two = build_family_model(case.source), build_family_model(back.source)
    assert one.X.shape == (case.source.rows, case.source.n_features)
    for first, second in ((one.fitted, two.fitted), (one.X, two.X)):
        np.testing.assert_array_equal(first, second)
    output, again = (reference(each.estimator, each.X).answer.output for each in (one, two))
    np.testing.assert_allclose(again, output, rtol=1e-9, atol=1e-9 * np.abs(output).max())


@pytest.mark.parametrize("family", family_names())
def test_every_kind_is_built_and_read(family: str) -> None:
    for name, kind in families()[family].kinds.items():
        parameters = tuple((each, values[-1]) for each, values in sorted(kind.choices.items()))
        spec = FamilySpec(
            family,
            name,
            parameters,
            n_features=min(kind.features[0] + 3, kind.features[1]),
            oddity="far from 0",
        )
        model = build_family_model(spec)
        assert reference(model.estimator, model.X).methods, name


@pytest.mark.parametrize("family", family_names())
def test_each_kind_of_a_family_has_its_own_name(family: str) -> None:
    module = importlib.import_module(f"rknn_harness.models.families.{family}")
    assert [each.name for each in module.KINDS] == list(families()[family].kinds)


@pytest.mark.parametrize("family", family_names())
def test_a_family_has_a_model_of_a_data_set_and_a_badly_scaled_one(family: str) -> None:
    fixed = families()[family].fixed
    assert len(fixed) >= 2
    assert all(spec.data != "drawn" for spec in fixed)
    assert any(spec.decades == 5 for spec in fixed) or family == "projections"


def test_half_of_a_data_set_is_fitted() -> None:
    model = build_family_model(FamilySpec("linear", "LogisticRegression", (), "wine", decades=5))
    assert (model.fitted.shape, model.X.shape) == ((89, 13), (89, 13))
    assert np.abs(model.X).max() > 1e5


@pytest.mark.parametrize("labels", ["int", "string"])
def test_a_temperature_is_fitted_to_places_of_classes(labels: str) -> None:
    parameters = (("member", "kernel"), ("method", "temperature"))
    model = build_family_model(FamilySpec("members", "CalibratedClassifierCV", parameters, labels=labels))
    assert model.estimator.classes_.tolist() == [0, 1, 2]


def test_it_shrinks_to_plain_rows() -> None:
    spec = find(family_specs(kinds_of(("kernels",), ("float16",))), lambda spec: spec.kind == "SVR")
    assert (spec.decades, spec.oddity, spec.n_features, spec.seed) == (0, "", 1, 0)


def test_a_kind_has_the_precisions_of_the_support_table() -> None:
    precisions = {
        kind.name: kind.precisions for family in families().values() for kind in family.kinds.values()
    }
    assert precisions["LogisticRegression"] == ("float16", "int8", "int16")
    assert precisions["GaussianProcessRegressor"] == precisions["LabelSpreading"] == ("float16", "int16")
    assert precisions["LocalOutlierFactor"] == precisions["DecisionTreeClassifier"] == ("float16",)
    assert precisions["StackingRegressor"] == precisions["PowerTransformer"] == PRECISIONS


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (FamilySpec("forgotten", "SVC"), "No family 'forgotten' has a kind 'SVC'"),
        (FamilySpec("kernels", "SVD"), "No family 'kernels' has a kind 'SVD'"),
        (FamilySpec("kernels", "SVC", (("C", 1e9),)), "SVC is not drawn with such 'C'"),
    ],
)
def test_a_spec_of_another_version_is_refused(spec: FamilySpec, message: str) -> None:
    with pytest.raises(HarnessError, match=message):
        build_family_model(spec)


@pytest.mark.parametrize("field", [{"data": "web"}, {"decades": 9}, {"n_classes": 1}, {"rows": 0}])
def test_a_spec_of_nothing_is_refused(field: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="No model has"):
        FamilySpec.from_json({"family": "kernels", "kind": "SVC", "parameters": {}, **field})
