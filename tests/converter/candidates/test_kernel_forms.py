"""Kernels of many stored rows: which form a conversion takes, and what it says of it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, NuSVC, OneClassSVM

import scirknn
from sklearn2rknn import ConversionOptions, Toolkit, convert, network_from_estimator
from sklearn2rknn.build import Job, make_job
from sklearn2rknn.candidates import kernel_forms
from sklearn2rknn.candidates.kernel_forms import choose_kernel_form
from sklearn2rknn.errors import ConversionError
from sklearn2rknn.network.precision import Precision
from sklearn2rknn.options import ConversionRequest
from sklearn2rknn.toolkit.pins.versions import toolkit_version
from tests.converter.estimators.families.emulation import load
from tests.counts import FULL

MODELS = {
    "SVC": (SVC(), "breast_cancer"),
    "NuSVC": (NuSVC(nu=0.2), "wine"),
    "SVR": (SVR(C=100.0), "diabetes"),
    "chances": (SVC(probability=True, random_state=0), "wine"),
}
BUILT = ["SVC 2.3.2"]
if FULL:
    BUILT = [f"{name} {version}" for name in MODELS for version in kernel_forms.TOOLKITS]


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_forms, "FEWEST_STORED_ROWS", 50)


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("case", BUILT)
def test_a_kernel_of_many_rows_is_computed_by_the_npu(
    case: str, toolkit: Toolkit, few_rows: None, tmp_path: Path
) -> None:
    name, version = case.split()
    estimator, data = MODELS[name]
    X, y = load(data)
    model = make_pipeline(StandardScaler(), estimator).fit(X, y)
    given = toolkit if version == toolkit.version else version
    report = convert(model, tmp_path / "m.rknn", example_input=X, toolkit=given)
    rows = len(model[-1].support_vectors_)
    assert report.kernel == f"{rows} exponentials and their sums on the NPU; the check allows it"
    assert report.kernel in str(report).replace("\n            ", " ")
    assert report.placement["cpu"] == 0
    assert [kind for _, kind, _ in report.placement["layers"]] == ["Conv", "exSoftmax13", "Conv"]
    deciding = report.check.deciding
    assert deciding is not None
    assert deciding.bound_share is not None
    assert 0 < deciding.bound_share <= 1
    assert json.loads((tmp_path / "m.rknn.json").read_text())["format"] == 4
    method = "predict" if name == "SVR" else "decision_function"
    expected = getattr(model, method)(X)
    for device, tolerance in (("virtual", 2e-2), ("cpu", 1e-3)):
        with scirknn.load(tmp_path / "m.rknn", device=device) as loaded:
            assert np.abs(getattr(loaded, method)(X) - expected).max() < tolerance * np.abs(expected).max()


class Failing:
    """A toolkit that builds nothing."""

    def start(self, *arguments: Any, **options: Any) -> Any:
        raise ConversionError("build", "it is tired.")


def chosen(model: Any, **asked: Any) -> str:
    """Return what is said of the form of a model, for which nothing is built."""
    X, y = load("diabetes")
    network = network_from_estimator(model.fit(X, y))
    request = ConversionRequest(
        path="m.rknn",
        target_platform=asked.get("platform", "rk3588"),
        precision=asked.get("precision", Precision.FLOAT16),
        batch_sizes=64,
        toolkit=toolkit_version(asked.get("version", "2.3.2")),
        options=asked.get("options", ConversionOptions()),
    )
    rows = None if asked.get("rows") == 0 else network.prepare(X)
    job = make_job(network.without_host_steps(), rows, None, request)
    form = choose_kernel_form(network, job, cast(Toolkit, Failing()))
    assert form.network is network
    assert form.built is None
    return form.text


@pytest.mark.parametrize(
    ("model", "asked", "text"),
    [
        (SVR(), {}, "440 exponentials on the host. On the NPU: The toolkit failed in build: it is tired."),
        (OneClassSVM(nu=0.5), {}, "the coefficients do not add up to 0"),
        (SVR(), {"version": "2.5.0"}, "only for an RK3588 by the toolkits 2.2.0, 2.3.0, 2.3.2"),
        (SVR(), {"platform": "rk3576"}, "only for an RK3588 by the toolkits 2.2.0, 2.3.0, 2.3.2"),
        (SVR(), {"precision": Precision.INT16}, "only in float16, not with accuracy='double'"),
        (
            SVR(),
            {"options": ConversionOptions(accuracy="double")},
            "only in float16, not with accuracy='double'",
        ),
        (SVR(), {"options": ConversionOptions(check="off")}, "only with example_input and the check"),
        (SVR(), {"rows": 0}, "only with example_input and the check"),
        (SVR(kernel="poly"), {}, ""),
    ],
)
def test_the_host_computes_the_exponentials_where_the_npu_cannot(
    model: Any, asked: dict[str, Any], text: str, few_rows: None
) -> None:
    assert chosen(model, **asked).endswith(text)


def test_a_form_that_fails_its_check_is_not_taken(few_rows: None, monkeypatch: pytest.MonkeyPatch) -> None:
    refused = SimpleNamespace(failed_limit="0.9990 is R2 against scikit-learn's predictions")
    monkeypatch.setattr(Job, "attempt", lambda *arguments: refused)
    assert chosen(SVR()) == f"440 exponentials on the host. On the NPU: {refused.failed_limit}"


def test_a_kernel_of_few_rows_has_no_choice() -> None:
    assert chosen(SVR()) == ""
