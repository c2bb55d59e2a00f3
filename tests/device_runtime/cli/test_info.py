"""``scirknn info``: what one asks first, and everything."""

from __future__ import annotations

import json
from typing import Any

import pytest

from scirknn.cli.commands import main
from tests.device_runtime.bundle.metadata_edits import edit_metadata
from tests.device_runtime.conftest import MakeBundle
from tests.device_runtime.estimators.test_estimator import fitted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

NAMES = ("length", "width", "depth", "height", "mass")


def test_info_tells_what_a_model_is(make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(make_bundle(fitted("strings"), samples=(1, 8), column_names=NAMES))
    assert main(["info", path]) == 0
    printed = capsys.readouterr().out
    for part in (
        "classifier, from MLPClassifier",
        "length, width",
        "ab, c, def",
        "softmax, on the host",
        "1, 8",
    ):
        assert part in printed
    assert main(["info", path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["classes"] == ["ab", "c", "def"]


def test_info_tells_what_nests_a_line_each(
    make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_bundle(fitted("softmax"))
    toolkit = {"version": "2.3.2", "lock_sha256": "7f" * 32, "options": {"form": "conv"}}
    ranges = [{"tensor": "input", "low": -2.0, "high": None}, {"tensor": "output", "low": 1 / 3}]
    edit_metadata(path, toolkit=toolkit, ranges=ranges, estimate={"1": 1.2e-4, "64": 1.9e-3})
    assert main(["info", str(path), "--verbose"]) == 0
    printed = capsys.readouterr().out
    lines = (
        "toolkit        version 2.3.2",
        "               lock_sha256 7f7f7f7f7f7f",
        "               options form conv",
        "ranges         tensor input, low -2, high not known",
        "               tensor output, low 0.3333",
        "estimate       0.12 ms of the NPU for a run of 1, 1.9 ms of the NPU for a run of 64",
    )
    assert "\n".join(lines) in printed


@pytest.mark.parametrize(
    ("check", "right"),
    [
        ({"held_out": 40, "virtual_npu": {"labels": 0.975, "max_probability_error": 2.4e-4}},
         "right          39 of 40 held-out rows have scikit-learn's label, probabilities within 0.00024"),
        ({"held_out": 40, "virtual_npu": {"unavailable": "no"}, "simulator": {"r2": 0.99995}},
         "right          R2 0.999950 against scikit-learn on 40 held-out rows"),
        ({"held_out": 0, "simulator": {"r2": 1.0}}, "right          unknown: not checked on held-out rows"),
        ({"held_out": 10**400, "virtual_npu": {"labels": "a"}}, "right          unknown"),
        ({"held_out": 5, "virtual_npu": {"labels": "a", "r2": 10**400}}, ""),
        ({"held_out": 5, "virtual_npu": {"labels": 1e308}}, ""),
        ("a", ""),
    ],
)  # fmt: skip
def test_info_says_first_how_right_a_model_is(
    check: Any, right: str, make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_bundle(fitted("softmax"))
    edit_metadata(path, check=check, toolkit={"oldest_runtime": "1.5.2"}, promise={}, bytes="many")
    assert main(["info", str(path)]) == 0
    printed = capsys.readouterr().out
    assert right in printed
    assert ("right " in printed) == bool(right)
    assert "needs          librknnrt 1.5.2 or newer" in printed
    assert "promise" not in printed


def test_info_counts_the_labels_of_a_row_where_it_has_several(
    make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_bundle(fitted("multilabel"))
    edit_metadata(path, check={"held_out": 40, "virtual_npu": {"labels": 0.99}})
    assert main(["info", str(path)]) == 0
    n_outputs = fitted("multilabel").n_outputs_
    expected = (
        f"{round(0.99 * 40 * n_outputs)} of {40 * n_outputs} labels of 40 held-out rows have scikit-learn's"
    )
    assert expected in capsys.readouterr().out
