"""The options of a conversion: checked once, and accepted in the spelling of before."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from scirknn.bundle import read_bundle
from sklearn2rknn import (
    ConversionOptions,
    Layer,
    OptionError,
    Precision,
    Toolkit,
    convert,
    network_from_estimator,
)
from sklearn2rknn.options import ConversionRequest
from sklearn2rknn.toolkit.pins.versions import toolkit_version
from sklearn2rknn.toolkit.toolkit_facts import ToolkitFacts
from tests.converter.fitted import fit


def test_options_are_frozen_and_equal_by_value() -> None:
    options = ConversionOptions(form="matmul")
    assert options == ConversionOptions(form="matmul") != ConversionOptions()
    assert ConversionOptions(check_input=np.zeros((2, 2))) == ConversionOptions()
    with pytest.raises(FrozenInstanceError):
        options.form = "conv"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"min_r2": 1.5}, "min_r2 is 1.5; it can be a number up to 1"),
        ({"min_labels": "0.9"}, "min_labels is '0.9'; it can be a number up to 1"),
        ({"timeout": -1.0}, "timeout is -1.0; it can be a number of seconds above 0"),
        ({"timeout": float("nan")}, "timeout is nan"),
        ({"allow_cpu": "yes"}, "allow_cpu is 'yes'; it can be True or False"),
        ({"head": "gpu"}, "head is 'gpu'; it can be host, npu"),
    ],
)
def test_an_impossible_option_is_refused_when_it_is_made(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(OptionError, match=expected):
        ConversionOptions(**options)


def test_a_precision_is_its_name() -> None:
    assert [*Precision] == ["float16", "int8", "int16"]
    assert f"{Precision.INT8} {Precision.INT8!s}" == "int8 int8"
    assert json.dumps(Precision.INT16) == '"int16"'


@pytest.mark.parametrize("precision", [Precision.INT8, "int8"])
def test_precisions_are_given_as_members_or_names(tmp_path: Path, toolkit: Toolkit, precision: str) -> None:
    estimator, X = fit("softmax")
    path = tmp_path / "model.rknn"
    report = convert(estimator, path, "RK3588", precision=precision, example_input=X, toolkit=toolkit)
    assert report.precision is Precision.INT8
    assert type(read_bundle(path).precision) is str
    assert json.loads(report.to_json())["precision"] == "int8"


def test_moved_keywords_are_accepted_with_a_warning_that_names_the_options(
    tmp_path: Path, toolkit: Toolkit
) -> None:
    estimator, X = fit("softmax")
    moved: Any = {"form": "matmul", "accuracy": "single"}
    new = r"options=ConversionOptions\(accuracy=\.\.\., form=\.\.\.\)"
    with pytest.warns(
        DeprecationWarning, match=rf"keyword of convert: accuracy, form\. Write {new}"
    ) as caught:
        report = convert(
            estimator,
            tmp_path / "model.rknn",
            example_input=X,
            toolkit=toolkit,
            options=ConversionOptions(check="off", form="gemm"),
            **moved,
        )
    assert [each.filename for each in caught if each.category is DeprecationWarning] == [__file__]
    assert (report.form, report.accuracy, report.check.is_off) == ("matmul", "single", True)


@pytest.mark.parametrize("name", [field.name for field in fields(ConversionOptions)])
def test_every_option_was_a_keyword(tmp_path: Path, name: str) -> None:
    default: Any = {name: getattr(ConversionOptions(), name)}
    with pytest.warns(DeprecationWarning, match=name), pytest.raises(OptionError, match=r"ends in \.rknn"):
        convert(fit("softmax")[0], tmp_path / "model", **default)


def test_an_unknown_keyword_is_a_type_error(tmp_path: Path) -> None:
    unknown: Any = {"acuracy": "single"}
    with pytest.raises(TypeError, match="unexpected keyword argument 'acuracy'"):
        convert(fit("softmax")[0], tmp_path / "model.rknn", **unknown)


def test_facts_of_the_toolkit_are_read_as_they_were_recorded(tmp_path: Path, toolkit: Toolkit) -> None:
    path = tmp_path / "model.rknn"
    report = convert(fit("softmax")[0], path, toolkit=toolkit, options=ConversionOptions(check="off"))
    document = read_bundle(path).details["toolkit"]
    assert ToolkitFacts.from_json(document) == report.toolkit
    assert report.toolkit.to_json() == document
    assert report.toolkit["version"] == toolkit.version
    assert document["options"]["target_platform"] == report.toolkit.target_platform == "rk3588"


def test_a_name_that_is_another_bundles_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.rknn.json").write_text('{"variants": [{"file": "a.rknn"}, {"file": "a.n64.rknn"}]}')
    estimator, _ = fit("binary")
    with pytest.raises(OptionError, match=r"a\.n64\.rknn belongs to the bundle a\.rknn in .* Choose another"):
        convert(estimator, tmp_path / "a.n64.rknn")


@pytest.mark.parametrize(
    ("widths", "expected"),
    [
        ((65_537, 1), "has 65537 features, and a bundle at most 65536"),
        ((1, 65_537), "has 65537 outputs, and a bundle at most 65536"),
    ],
)
def test_network_larger_than_a_bundle_is_refused_before_a_toolkit_starts(
    tmp_path: Path, widths: tuple[int, int], expected: str
) -> None:
    estimator, _ = fit("two outputs")
    estimator.coefs_ = [np.zeros((widths[0], 1)), np.zeros((1, widths[1]))]
    estimator.intercepts_ = [np.zeros(1), np.zeros(widths[1])]
    estimator.hidden_layer_sizes, estimator.n_layers_ = (1,), 3
    estimator.n_features_in_, estimator.n_outputs_ = widths
    with pytest.raises(OptionError, match=expected):
        convert(estimator, tmp_path / "model.rknn", toolkit="2.3.2@venv")


def test_more_values_than_a_run_has_are_refused_with_the_rows_that_fit(tmp_path: Path) -> None:
    inputs = 200_000  # behind encoders, since there are 65,536 features at most
    network = attrs.evolve(
        network_from_estimator(fit("binary")[0]),
        layers=(Layer(np.zeros((inputs, 1)), np.zeros(1), "identity"),),
        features_in=1,
    )
    request = ConversionRequest(
        path=tmp_path / "model.rknn",
        target_platform="rk3588",
        precision=Precision.FLOAT16,
        batch_sizes=(1, 2047),
        toolkit=toolkit_version("2.3.2"),
        options=ConversionOptions(),
    )
    with pytest.raises(OptionError, match=r"2047 rows of 200000 values are more than .* Take at most 1342"):
        request.require_room(network)


@pytest.mark.parametrize(
    ("name", "batch_size"),
    [("a" * 246, 1), ("a" * 245, (1, 2047)), ("a\x1b", 1), ("a\udc80", 1), ("a\n", 1)],
)
def test_name_that_no_file_of_the_bundle_can_have_is_refused_before_a_toolkit_starts(
    tmp_path: Path, name: str, batch_size: Any
) -> None:
    with pytest.raises(OptionError, match="a name has at most 255 bytes and no control characters"):
        convert(fit("binary")[0], tmp_path / f"{name}.rknn", batch_size=batch_size, toolkit="2.3.2@venv")
