"""A wheel of the vendor's repository is taken only when it is that very file."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn2rknn.errors import WheelError
from sklearn2rknn.toolkit.pins.versions import ToolkitVersion, toolkit_version
from sklearn2rknn.toolkit.pins.wheel import check_wheel, git_blob_id, keep_wheel, kept_wheel

NAME = "rknn_toolkit2-1.5.0+1fa95b5c-cp310-cp310-linux_x86_64.whl"
CONTENT = b"a stand-in for the vendor's wheel"


@pytest.fixture
def entry() -> ToolkitVersion:
    """1.5.0's row, expecting `CONTENT`."""
    row = toolkit_version("1.5.0")
    blob = hashlib.sha1(b"blob %d\0%b" % (len(CONTENT), CONTENT)).hexdigest()
    files = tuple(attrs.evolve(file, git_blob=blob, md5=None) for file in row.wheel.files)
    return attrs.evolve(row, wheel=attrs.evolve(row.wheel, files=files))


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.write_bytes(CONTENT)
    return path


@given(content=st.binary(max_size=3000))
def test_the_blob_id_is_gits(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("blob") / "file"
    path.write_bytes(content)
    assert git_blob_id(path) == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def test_git_computes_the_same_blob_id(wheel: Path) -> None:
    try:
        said = subprocess.run(["git", "hash-object", str(wheel)], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        pytest.skip("git is not installed")
    assert git_blob_id(wheel) == said.stdout.strip()


def test_the_vendors_file_is_kept_and_found_again(
    entry: ToolkitVersion, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKLEARN2RKNN_CACHE", str(tmp_path / "cache"))
    with pytest.raises(WheelError, match=NAME.replace("+", r"\+")):
        kept_wheel(entry, "3.10")
    kept = keep_wheel(entry, wheel)
    assert kept_wheel(entry, "3.10") == kept
    assert kept.read_bytes() == CONTENT
    assert [path.name for path in kept.parent.iterdir()] == [NAME]


def test_a_swapped_file_is_refused_at_every_use(
    entry: ToolkitVersion, wheel: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SKLEARN2RKNN_CACHE", str(tmp_path / "cache"))
    kept = keep_wheel(entry, wheel)
    kept.write_bytes(CONTENT[:-1] + b"?")  # same name, same length
    with pytest.raises(WheelError, match="git blob id"):
        kept_wheel(entry, "3.10")


@pytest.mark.parametrize("kind", ["md5", "sha256"])
def test_other_digests_count_too(entry: ToolkitVersion, wheel: Path, kind: str) -> None:
    files = tuple(attrs.evolve(file, **{kind: "0" * 32}) for file in entry.wheel.files)
    with pytest.raises(WheelError, match=kind):
        check_wheel(attrs.evolve(entry, wheel=attrs.evolve(entry.wheel, files=files)), wheel)


def test_a_web_page_in_its_stead_is_refused(entry: ToolkitVersion, wheel: Path) -> None:
    wheel.write_text("<!DOCTYPE html>")
    with pytest.raises(WheelError, match="web page"):
        check_wheel(entry, wheel)


@pytest.mark.parametrize("name", ["missing", "rknn_toolkit2-1.5.0-cp310-cp310-linux_x86_64.whl"])
def test_the_message_says_where_the_file_is(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name != "missing":
        path.write_bytes(CONTENT)
    with pytest.raises(WheelError) as caught:
        check_wheel(toolkit_version("1.5.0"), path)
    for part in (
        NAME,
        "https://github.com/rockchip-linux/rknn-toolkit2",
        "branch v1.5.0",
        "d333c7d9d05b2cf8fc4605f395a184b3bd6bd2f5",
        "ec1fa4d0d899d73aa0100694fbf6b903f4a300ed",
    ):
        assert part in str(caught.value)


def test_what_is_unknown_is_called_so() -> None:
    with pytest.raises(WheelError, match="git blob unknown, md5 37948acb86bfe95d4aef1a891e756827") as caught:
        check_wheel(toolkit_version("1.6.0"), Path("missing.whl"))
    assert "branch None" not in str(caught.value)
