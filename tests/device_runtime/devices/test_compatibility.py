"""Compatible versions: every rule, broken and kept."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neural_network import MLPClassifier

import scirknn
from scirknn.devices import compatibility
from scirknn.devices.compatibility import (
    MODEL_FORMATS,
    OLDEST_DRIVER,
    BoardVersions,
    check,
    installed_versions,
    runtime_file,
)
from tests.device_runtime.bundle.metadata_edits import edit_metadata

TOOLKIT = {"version": "2.3.2", "model_format": 6, "target_platform": "rk3588"}
GOOD = BoardVersions(
    librknnrt="2.3.2 (429f97ae6b@2025-04-09T09:09:27)",
    driver="RKNPU driver: v0.9.8",
    rknnlite="2.3.2",
    compatible=("radxa,rock-5b", "rockchip,rk3588"),
)


def board(**changes: Any) -> BoardVersions:
    return BoardVersions(**{**vars(GOOD), **changes})


def rules(toolkit: dict[str, Any], versions: BoardVersions) -> dict[str, str]:
    return {finding.rule: finding.level for finding in check(toolkit, versions)}


def test_what_goes_together_has_no_finding() -> None:
    assert check(TOOLKIT, GOOD) == ()
    assert check(TOOLKIT, board(compatible=("xunlong,orangepi-5", "rockchip,rk3588s"))) == ()


def test_the_top_complaint_is_foreseen() -> None:
    """'Invalid RKNN model version 6': a new model on an old runtime."""
    (finding,) = check(TOOLKIT, board(librknnrt="1.5.0 (e6fe0c678@2023-05-25T08:09:20)", rknnlite="1.5.0"))
    assert (finding.rule, finding.level) == ("format", "error")
    for part in (
        "format 6",
        "1.5.2",
        "1.5.0",
        "rknpu2/runtime/Linux/librknn_api/aarch64/librknnrt.so",
        "2.3.2",
    ):
        assert part in finding.text


@pytest.mark.parametrize(
    ("toolkit", "changes", "found"),
    [
        ({}, {"librknnrt": "1.6.0", "rknnlite": "1.6.0"}, {"same-version": "warning"}),
        (
            {"version": "1.5.0", "model_format": 4},
            {"librknnrt": "1.4.0", "rknnlite": "1.4.0"},
            {"format": "error"},
        ),
        ({"version": "1.5.0", "model_format": 4}, {"librknnrt": "1.5.0", "rknnlite": "1.5.0"}, {}),
        ({}, {"driver": "RKNPU driver: v0.8.2"}, {"old-driver": "warning"}),
        (
            {"version": "2.0.0"},
            {"librknnrt": "2.0.0b0", "rknnlite": "2.0.0b0", "driver": "0.8.0"},
            {"driver-2.0": "error"},
        ),
        (
            {"version": "2.0.0"},
            {"librknnrt": "2.0.0b0", "rknnlite": "2.0.0b0", "driver": "0.8.2"},
            {"old-driver": "warning"},
        ),
        ({}, {"driver": "0.9.2"}, {"one-core": "note"}),
        ({}, {"driver": None}, {"driver": "note"}),
        ({}, {"librknnrt": None}, {"runtime": "note"}),
        ({}, {"rknnlite": None}, {"rknnlite": "note"}),
        ({}, {"rknnlite": "1.5.0"}, {"rknnlite": "warning"}),
        ({}, {"compatible": ("vendor,board", "rockchip,rk3566")}, {"platform": "error"}),
        ({"target_platform": "rk3566"}, {"compatible": ("vendor,board", "rockchip,rk3568")}, {}),
        (
            {"target_platform": "rk3566"},
            {"compatible": ("vendor,board", "rockchip,rk3562")},
            {"platform": "error"},
        ),
    ],
)
def test_each_rule_has_its_finding(
    toolkit: dict[str, Any], changes: dict[str, Any], found: dict[str, str]
) -> None:
    assert rules({**TOOLKIT, **toolkit}, board(**changes)) == found


_versions = st.builds("{}.{}.{}".format, *[st.integers(0, 12)] * 3)


@given(runtime=_versions, number=st.sampled_from(sorted(MODEL_FORMATS)))
def test_a_format_is_refused_exactly_below_its_oldest_runtime(runtime: str, number: int) -> None:
    found = rules({"model_format": number}, board(librknnrt=runtime))
    older = tuple(map(int, runtime.split("."))) < tuple(map(int, MODEL_FORMATS[number].split(".")))
    assert ("format" in found) == older


@given(
    st.dictionaries(st.sampled_from([*TOOLKIT, "other"]), st.none() | st.text() | st.integers() | _versions),
    st.none() | st.text(),
    st.none() | st.text(),
    st.none() | st.text(),
)
def test_nothing_strange_raises(
    toolkit: dict[str, Any], runtime: str | None, driver: str | None, lite: str | None
) -> None:
    for finding in check(toolkit, BoardVersions(runtime, driver, lite, ("rockchip,",))):
        assert finding.level in ("error", "warning", "note")
        assert finding.text


def test_runtimes_lie_where_their_version_put_them() -> None:
    assert "runtime/RK3588/" in runtime_file("1.5.0", "rk3588")
    assert "rockchip-linux/rknpu2, tag v1.5.0" in runtime_file("1.5.0", "rk3588")
    assert "runtime/RK356X/" in runtime_file("1.5.2", "rk3566")
    assert "airockchip/rknn-toolkit2" in runtime_file("2.3.2", "rk3588")


def test_a_board_is_read_from_its_files(tmp_path: Path) -> None:
    assert installed_versions(str(tmp_path)).librknnrt is None
    for name, content in {
        "usr/lib/librknnrt.so": b"\x7fELF\0librknnrt version: 1.5.2 (c6b7b351a@2023-08-23T15:28:22)\0",
        "sys/kernel/debug/rknpu/version": b"RKNPU driver: v0.8.8\n",
        "proc/device-tree/compatible": b"radxa,rock-5b\0rockchip,rk3588\0",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    found = installed_versions(str(tmp_path))
    assert found.librknnrt == "1.5.2 (c6b7b351a@2023-08-23T15:28:22)"
    assert found.driver == "RKNPU driver: v0.8.8"
    assert found.compatible == ("radxa,rock-5b", "rockchip,rk3588")


@pytest.fixture
def path(make_bundle: Callable[..., Path]) -> Path:
    X = np.random.default_rng(0).normal(size=(20, 3))
    return make_bundle(MLPClassifier((4,), max_iter=5).fit(X, np.arange(20) % 2))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_model_that_cannot_run_is_refused_before_it_is_loaded(
    path: Path, lite: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    edit_metadata(path, toolkit=TOOLKIT)
    monkeypatch.setattr(
        compatibility, "installed_versions", lambda: board(librknnrt="1.4.0", rknnlite="1.4.0")
    )
    with pytest.raises(scirknn.CompatibilityError, match=r"Install .*librknnrt\.so") as caught:
        scirknn.load(path)
    assert caught.value.rules == ("format",)
    assert lite.masks == []  # the NPU was not opened
    monkeypatch.setattr(compatibility, "installed_versions", lambda: board(driver="0.8.2"))
    with pytest.warns(UserWarning, match=r"Driver 0\.8\.2 is older"):
        scirknn.load(path).close()
    monkeypatch.setattr(compatibility, "installed_versions", lambda: GOOD)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scirknn.load(path).close()


def test_the_oldest_driver_is_a_version() -> None:
    assert [int(part) for part in OLDEST_DRIVER.split(".")] == [0, 8, 8]
