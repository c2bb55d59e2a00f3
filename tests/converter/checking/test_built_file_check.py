"""Nothing is handed over that was not seen to work."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

import scirknn
from scirknn.bundle import read_bundle
from scirknn.files import sha256_of_bytes
from sklearn2rknn import (
    CheckError,
    CheckWarning,
    ConversionOptions,
    ExampleInputWarning,
    RangeError,
    Toolkit,
    convert,
    network_from_estimator,
)
from sklearn2rknn.build import make_job
from sklearn2rknn.checking.agreement import Agreement
from sklearn2rknn.checking.built_file_check import Expected, GraphRuns, expect
from sklearn2rknn.checking.check_result import CheckResult
from sklearn2rknn.options import ConversionRequest
from sklearn2rknn.passes import prepare_network
from sklearn2rknn.tolerances import Requirement, promises
from sklearn2rknn.toolkit.building import Building
from sklearn2rknn.toolkit.pins.versions import toolkit_version
from tests.converter.fitted import fit


def simulated(**values: float) -> CheckResult:
    numbers: dict[str, Any] = {"max_error": 0.0, "max_probability_error": None, "labels": None, "r2": None}
    return CheckResult(input="held_out", stages={"simulator": Agreement(**{**numbers, **values})})


def test_limits_name_what_fails() -> None:
    required = Requirement(probability=0.002, labels=0.99, expected_labels=0.99, r2=0.999)
    assert simulated(clear_labels=0.99).failed_limit(required) == ""
    assert CheckResult().failed_limit(required) == ""
    assert "0.9800 of the labels" in simulated(clear_labels=0.98).failed_limit(required)
    assert "are expected to" in simulated(expected_labels=0.98).failed_limit(required)
    flat = simulated(r2=-1e9, max_error=1.2).failed_limit(required)
    assert flat.endswith("more than scikit-learn's predictions vary by: R2 is below 0; the limit is 0.999")
    assert "0.9900 is R2" in simulated(r2=0.99).failed_limit(required)
    assert simulated(probability_reach=0.001).failed_limit(required) == ""
    reach = simulated(probability_reach=0.0011).failed_limit(required)
    assert "move a probability by 0.0022" in reach
    assert "move a probability by 1 near" in simulated(probability_reach=1e7).failed_limit(required)
    assert simulated(max_probability_error=0.002).failed_limit(required) == ""
    error = simulated(max_probability_error=0.0021).failed_limit(required)
    assert error == "a probability is 0.0021 off; the limit is 0.002"
    assert simulated(bound_share=1.0).failed_limit(required) == ""
    assert "errs by 1.01 times what" in simulated(bound_share=1.01).failed_limit(required)


@pytest.mark.parametrize(
    "name",
    ["bound_share", "probability_reach", "max_probability_error", "clear_labels", "expected_labels", "r2"],
)
def test_no_number_meets_no_limit(name: str) -> None:
    required = Requirement(probability=0.002, labels=0.99, expected_labels=0.99, r2=0.999)
    assert "nan" in simulated(**{name: math.nan}).failed_limit(required)


def test_shares_are_counted_from_32_held_out_rows_on() -> None:
    assert [CheckResult(held_out=rows).is_counted for rows in (0, 31, 32)] == [False, False, True]


def test_the_virtual_npu_decides_where_it_ran() -> None:
    stages = {stage: Agreement(error, None, None, None) for stage, error in STAGE_ERRORS.items()}
    assert CheckResult(stages=stages).deciding is stages["virtual_npu"]
    del stages["virtual_npu"]
    check = CheckResult(stages=stages, unavailable={"virtual_npu": "other chip"})
    assert check.deciding is stages["simulator"]


@pytest.mark.parametrize("bound", [None, 0.5, math.inf])
def test_a_check_is_read_as_it_was_recorded(bound: float | None) -> None:
    check = CheckResult(
        input="random",
        rows=512,
        batch_size=64,
        bound=bound,
        stages={"simulator": Agreement(0.5, None, None, 0.9, bound_share=2.0)},
        unavailable={"virtual_npu": "other chip"},
        lookups={"offset of no effect": 3e-5, "table by the sign of the input": math.inf},
    )
    document = json.loads(json.dumps(check.to_json(), allow_nan=False))
    assert CheckResult.from_json(document) == check
    assert check["simulator"]["r2"] == 0.9
    assert check.is_beyond_bound
    assert CheckResult.from_json({"off": True}) == CheckResult()


STAGE_ERRORS = {"onnx": 0.0, "simulator": 1.0, "virtual_npu": 2.0}


def crowded() -> tuple[Any, npt.NDArray[np.float64]]:
    """Return a regressor whose sum of large opposite numbers has no room in 8 bits."""
    X = np.random.default_rng(0).standard_normal((200, 8))
    estimator = MLPRegressor(hidden_layer_sizes=(8,), activation="relu", max_iter=5, random_state=0).fit(
        X, X[:, 0]
    )
    estimator.coefs_[0][:] = 0.0
    estimator.coefs_[0][:, :2] = 100.0
    estimator.coefs_[0][:, 1] += np.linspace(-0.5, 0.5, 8)
    estimator.coefs_[1][:] = 0.0
    estimator.coefs_[1][0], estimator.coefs_[1][1] = 1.0, -1.0
    estimator.intercepts_[0][:] = 2000.0  # every relu is on
    return estimator, X


def test_what_falls_short_is_not_written_and_the_error_names_what_would_do(
    tmp_path: Path, toolkit: Toolkit
) -> None:
    estimator, X = crowded()
    path = tmp_path / "model.rknn"
    with pytest.raises(CheckError, match=r"the limit is 0\.985 .*precision='float16' would do.*min_r2"):
        convert(estimator, path, precision="int8", example_input=X, toolkit=toolkit)
    assert list(tmp_path.iterdir()) == []
    assert (
        convert(estimator, path, example_input=X, toolkit=toolkit).check.to_json()["virtual_npu"]["r2"]
        > 0.999
    )


def test_limits_are_settable_and_a_warning_is_enough(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, X = crowded()
    path = tmp_path / "model.rknn"
    options: dict[str, Any] = {"precision": "int8", "example_input": X, "toolkit": toolkit}
    convert(estimator, path, options=ConversionOptions(min_r2=-1e9), **options)
    with pytest.warns(CheckWarning, match="the limit is 0.985"):
        convert(estimator, path, options=ConversionOptions(check="warn"), **options)
    assert path.exists()
    with pytest.raises(CheckError, match="the limit is 1 "):
        convert(estimator, path, options=ConversionOptions(min_r2=1.0), **options)


def test_every_file_of_a_bundle_is_checked(
    tmp_path: Path, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator, X = fit("softmax")
    seen: list[int] = []

    def second_is_bad(expected: Expected, graph: GraphRuns, *_: Any, **__: Any) -> CheckResult:
        seen.append(graph.batch_size)
        return simulated(clear_labels=1.0 if len(seen) == 1 else 0.5)

    monkeypatch.setattr("sklearn2rknn.build.run_check", second_is_bad)
    with pytest.raises(CheckError, match=r"0\.5000 of the labels"):
        convert(estimator, tmp_path / "model.rknn", example_input=X, batch_size=(16, 2), toolkit=toolkit)
    assert seen[:2] == [16, 2]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_files_that_are_checked_on_the_same_rows_share_what_they_are_compared_with(
    toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch, precision: str
) -> None:
    estimator, X = fit("softmax")
    network = network_from_estimator(estimator)
    monkeypatch.setattr("sklearn2rknn.rows.check_rows.WEIGHT_LIMIT", 0)  # 8 runs
    computed: list[int] = []

    def count(*arguments: Any, **options: Any) -> Expected:
        computed.append(len(arguments[2].rows))
        return expect(*arguments, **options)

    def checks(*batch_sizes: int) -> list[CheckResult]:
        request = ConversionRequest(
            path="model.rknn",
            target_platform="rk3588",
            precision=precision,
            batch_sizes=batch_sizes,
            toolkit=toolkit_version(toolkit.version),
            options=ConversionOptions(),
        )
        job = make_job(network, np.tile(X, (4, 1)), None, request)
        return [file.check for file in job.attempt(toolkit, job.network()).files.values()]

    alone = [checks(size)[0] for size in (16, 2, 8)]
    monkeypatch.setattr("sklearn2rknn.build.expect", count)
    together = checks(16, 2, 8)
    assert computed == [40, 16]
    assert [check.to_json() for check in together] == [check.to_json() for check in alone]


def test_a_file_taken_early_that_changes_is_checked_again(
    tmp_path: Path, toolkit: Toolkit, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimator, X = fit("softmax")
    convert(estimator, tmp_path / "model.rknn", example_input=X, toolkit=toolkit)
    other, rows = fit("identity")
    early = (tmp_path / "model.rknn").read_bytes()
    monkeypatch.setattr(Building, "early_files", lambda _: iter([early[:-1], early]))
    report = convert(other, tmp_path / "other.rknn", example_input=rows, toolkit=toolkit)
    assert read_bundle(tmp_path / "other.rknn").variants[0].sha256 != sha256_of_bytes(early)
    assert report.check["virtual_npu"]["bound_share"] < 1


def test_random_rows_are_no_ground_to_refuse(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, _ = crowded()
    with pytest.warns(CheckWarning, match="Give typical rows"):
        convert(
            estimator,
            tmp_path / "model.rknn",
            toolkit=toolkit,
            options=ConversionOptions(min_r2=1.0, accuracy="single"),
        )


def test_check_off_is_recorded(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, X = crowded()
    path = tmp_path / "model.rknn"
    report = convert(
        estimator,
        path,
        precision="int8",
        example_input=X,
        toolkit=toolkit,
        options=ConversionOptions(check="off"),
    )
    assert read_bundle(path).details["check"] == {"off": True}
    assert "right     unknown: the check is off" in str(report)
    assert "off: the built file was not run" in report.details()


def test_numbers_that_int16_cannot_hold_are_refused(tmp_path: Path, toolkit: Toolkit) -> None:
    path = tmp_path / "model.rknn"
    for activation in ("relu", "tanh"):
        estimator, X = fit("several outputs", hidden=(9, 6), activation=activation)
        for layer in (0, 1):
            estimator.coefs_[layer] *= 1e12
            estimator.intercepts_[layer] *= 1e12
        if activation == "relu":  # a factor can be taken out
            report = convert(estimator, path, precision="int16", example_input=X, toolkit=toolkit)
            assert report.check.to_json()["virtual_npu"]["r2"] > 0.9999
            continue
        with pytest.raises(RangeError, match=r"Numbers of weights_\d pass 16384, where the toolkit's int16"):
            convert(estimator, path, precision="int16", example_input=X, toolkit=toolkit)


def test_a_long_path_is_not_wrapped_in_the_report(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, _ = fit("softmax")
    path = tmp_path / ("a" * 60) / ("b" * 60) / "model.rknn"
    path.parent.mkdir(parents=True)
    report = convert(estimator, path, toolkit=toolkit)
    assert str(report).splitlines()[0] == f"  {path}, model.npz, model.rknn.json"
    assert report.details().splitlines()[0] == str(path)


def test_classes_that_the_example_never_meets_are_named(tmp_path: Path, toolkit: Toolkit) -> None:
    X, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])
    estimator = MLPClassifier((20,), max_iter=400, random_state=0).fit(X, names[y])
    with pytest.warns(ExampleInputWarning, match=r"classified as setosa\. .*give rows of every class"):
        convert(
            estimator,
            tmp_path / "iris.rknn",
            precision="int8",
            example_input=X[y > 0],
            toolkit=toolkit,
        )


def test_good_conversions_pass_their_limits(tmp_path: Path, toolkit: Toolkit) -> None:
    X, y = load_iris(return_X_y=True)
    estimator = MLPClassifier((20,), max_iter=400, random_state=0).fit(X, y)
    for precision in ("float16", "int16", "int8"):
        report = convert(
            estimator, tmp_path / "iris.rknn", precision=precision, example_input=X, toolkit=toolkit
        )
        required = promises(precision)[-1].for_check().labels
        assert report.check.to_json()["virtual_npu"]["clear_labels"] >= required


def test_a_table_that_is_never_loaded_is_refused(tmp_path: Path, toolkit: Toolkit, monkeypatch: Any) -> None:
    estimator, X = fit("softmax", activation="tanh")
    monkeypatch.setattr(prepare_network, "clipped_tanh_pairs", lambda network: network)
    with pytest.raises(
        CheckError, match=r"a lookup before any table was uploaded.* Take precision='float16'"
    ):
        convert(estimator, tmp_path / "model.rknn", precision="int16", example_input=X, toolkit=toolkit)


class FaultyToolkit(Toolkit):
    """A toolkit that builds another model: its last bias is half as large again."""

    def __init__(self, toolkit: Toolkit) -> None:
        super().__init__(toolkit.environment)
        self._toolkit = toolkit

    def start(self, model: bytes, **arguments: Any) -> Any:
        graph = onnx.load_from_string(model)
        bias = next(each for each in reversed(graph.graph.initializer) if each.name.startswith("bias"))
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) * np.float32(1.5), bias.name))
        return self._toolkit.start(graph.SerializeToString(), **arguments)


@pytest.mark.parametrize("example", [False, True], ids=["random rows", "example input"])
def test_a_file_of_another_function_is_refused_though_its_labels_are_right(
    tmp_path: Path, toolkit: Toolkit, example: bool
) -> None:
    estimator, X = fit("softmax", max_iter=200)
    estimator.intercepts_[1][:] = 0.05  # the same for all classes: no label nor probability changes
    options: dict[str, Any] = {"example_input": X if example else None, "toolkit": FaultyToolkit(toolkit)}
    path = tmp_path / "model.rknn"
    with pytest.raises(CheckError, match=r"errs by .* times what the arithmetic allows \(100\.00 % of"):
        convert(estimator, path, **options)
    assert list(tmp_path.iterdir()) == []
    with pytest.warns(CheckWarning, match="what the arithmetic allows"):
        convert(estimator, path, options=ConversionOptions(check="warn"), **options)


def test_three_stages_are_compared_and_the_bound_is_stated(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, X = fit("softmax", activation="tanh", max_iter=50)
    report = convert(estimator, tmp_path / "model.rknn", example_input=X, toolkit=toolkit)
    errors = [report.check.to_json()[stage]["max_error"] for stage in ("onnx", "simulator", "virtual_npu")]
    assert errors[0] < 1e-5 < max(errors[1:])  # float32 against float16
    assert report.check.to_json()["bound"] > max(errors[1:])
    assert 0 < report.check.to_json()["virtual_npu"]["bound_share"] <= 1
    text = " ".join(report.details().split())
    for said in (
        "float32 ONNX",
        "simulator",
        "virtual NPU",
        "bound",
        "derived from the arithmetic",
        "% of their",
    ):
        assert said in text


def test_errors_of_a_scaled_target_are_in_its_own_units(tmp_path: Path, toolkit: Toolkit) -> None:
    X = np.random.default_rng(0).standard_normal((200, 3))
    y = 1e6 + 1e4 * X @ [1.0, 2.0, 3.0]
    inner = MLPRegressor(hidden_layer_sizes=(16,), max_iter=50, random_state=0)
    estimator = TransformedTargetRegressor(inner, transformer=StandardScaler()).fit(X, y)
    path = tmp_path / "model.rknn"
    report = convert(
        estimator,
        path,
        example_input=X,
        toolkit=toolkit,
        options=ConversionOptions(check_input=X, accuracy="single"),
    )
    with scirknn.load(path, device="virtual") as model:
        missed = np.abs(model.predict(X) - estimator.predict(X)).max()
    assert report.check.to_json()["virtual_npu"]["max_error"] == pytest.approx(missed, rel=1e-6)
    assert missed > 1.0  # a float16 of 1e4 is up to 4 away from the next
    assert report.check.to_json()["bound"] >= missed


def test_ranges_are_in_the_report_and_in_the_bundle(tmp_path: Path, toolkit: Toolkit) -> None:
    estimator, X = fit("softmax")
    path = tmp_path / "model.rknn"
    report = convert(estimator, path, example_input=X, toolkit=toolkit)
    assert [(each["tensor"], each["from"]) for each in report.ranges] == [
        ("input", "example input"),
        ("layer 1 (relu)", "example input"),
        ("output", "example input"),
    ]
    assert read_bundle(path).details["ranges"] == report.ranges
    assert re.search(r"ranges +input, 3 wide: -[\d.]+ to [\d.]+ \(example input\)", report.details())
    shown = convert(estimator, path, toolkit=toolkit).details()
    assert re.search(r"ranges +input, 3 wide: unknown; give example_input", shown)
