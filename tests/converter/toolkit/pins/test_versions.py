"""The table of versions holds what the other parts rely on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scirknn.devices.compatibility import MODEL_FORMATS, OLDEST_DRIVER, BoardVersions, check
from scirknn.files import sha256_of_file
from sklearn2rknn.toolkit.pins.lock import read_lock, recorded_digests
from sklearn2rknn.toolkit.pins.versions import TOOLKITS, base_image, toolkit_version, toolkit_versions

VERSIONS = ("1.5.0", "1.5.2", "1.6.0", "2.0.0", "2.1.0", "2.2.0", "2.3.0", "2.3.2", "2.5.0")


def test_the_table_has_every_version() -> None:
    assert toolkit_versions() == VERSIONS


@pytest.mark.parametrize("version", VERSIONS)
def test_a_row_is_whole(version: str) -> None:
    entry = toolkit_version(version)
    assert set(entry.pythons) <= set(entry.wheel_pythons)
    assert {"float16", "int8"} <= set(entry.config)
    assert set(entry.integer_only_platforms) <= set(entry.target_platforms)
    assert "rk3588" in entry.target_platforms
    assert entry.opset_ceiling >= 12  # the opset that graphs are written in
    assert all(re.fullmatch(r"measured|https://\S+", defect.source) for defect in entry.defects)
    assert all(re.fullmatch(r"[a-z0-9-]{1,24}", defect.id) for defect in entry.defects)
    # What has not been run is known from the vendor's documents: nothing there can be "measured".
    assert entry.run or not any(defect.source == "measured" for defect in entry.defects)


@pytest.mark.parametrize("version", VERSIONS)
def test_wheels_are_identified(version: str) -> None:
    wheel = toolkit_version(version).wheel
    if wheel.source == "repository":
        assert {file.python for file in wheel.files} == set(toolkit_version(version).wheel_pythons)
        assert wheel.repository is not None
        assert re.fullmatch(r"[0-9a-f]{40}", wheel.commit or "")
    for file in wheel.files:
        assert f"-cp{file.python.replace('.', '')}-" in file.name
        assert file.git_blob is None or re.fullmatch(r"[0-9a-f]{40}", file.git_blob)
        assert file.git_blob or re.fullmatch(r"[0-9a-f]{32}", file.md5 or "")


def test_toolkit_1_5_0_is_the_one_the_vendor_describes() -> None:
    entry = toolkit_version("1.5.0")
    (file,) = (file for file in entry.wheel.files if file.python == "3.10")
    assert file.name == "rknn_toolkit2-1.5.0+1fa95b5c-cp310-cp310-linux_x86_64.whl"
    assert file.git_blob == "ec1fa4d0d899d73aa0100694fbf6b903f4a300ed"
    assert (entry.opset_ceiling, entry.model_format, entry.oldest_runtime) == (12, 4, "1.5.0")
    assert not entry.run
    assert "int16" not in entry.config
    assert entry.config["int8"] == {"quantized_dtype": "asymmetric_quantized-8"}
    assert "softmax-cpu" in {defect.id for defect in entry.defects}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_lock_is_hashed_recorded_and_free_of_torch(version: str) -> None:
    entry = toolkit_version(version)
    lock = entry.folder / "requirements.lock"
    assert recorded_digests()[version] == sha256_of_file(lock)
    locked = read_lock(lock)
    required = read_lock(entry.folder / "requirements.in")
    assert {name: pin[0] for name, pin in locked.items()} == {name: pin[0] for name, pin in required.items()}
    assert all(hashes for _, hashes in locked.values())
    assert not {"torch", "torchvision", "tensorflow"} & set(locked)
    assert ("rknn-toolkit2" in locked) == (entry.wheel.source == "index")


def test_the_recipe_defaults_to_the_pinned_base() -> None:
    recipe = (TOOLKITS / "Dockerfile").read_text("utf-8")
    assert f"\nARG BASE_IMAGE={base_image('3.11')}\n" in recipe
    assert "# syntax=" not in recipe  # would be fetched from a registry
    for version in VERSIONS:
        for python in toolkit_version(version).pythons:
            assert re.fullmatch(rf"python:{python}-slim-\w+@sha256:[0-9a-f]{{64}}", base_image(python))


def test_the_folder_holds_a_lock_for_each_version_and_no_other() -> None:
    assert {path.parent.name for path in Path(TOOLKITS).glob("*/requirements.lock")} == set(VERSIONS)


@pytest.mark.parametrize("version", VERSIONS)
def test_the_boards_rules_agree_with_the_table(version: str) -> None:
    entry = toolkit_version(version)
    assert MODEL_FORMATS[entry.model_format] == entry.oldest_runtime
    assert entry.oldest_driver in (None, OLDEST_DRIVER)
    # A runtime of the toolkit's own version, with a driver that nobody warns of, always does.
    board = BoardVersions(version, "0.9.8", version, ("rockchip,rk3588",))
    toolkit = {"version": version, "model_format": entry.model_format, "target_platform": "rk3588"}
    assert check(toolkit, board) == ()
    refused = {
        finding.rule
        for finding in check(toolkit, BoardVersions(version, "0.8.0", version, ("rockchip,rk3588",)))
        if finding.level == "error"
    }
    assert bool(refused) == ("old-driver" in {defect.id for defect in entry.defects})
