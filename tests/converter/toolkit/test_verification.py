"""What `toolkits verify` catches: a changed lock, a swapped wheel, an image from another lock."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from sklearn2rknn.errors import EngineMissingError, ImageStaleError
from sklearn2rknn.toolkit import verification
from sklearn2rknn.toolkit.containers import image
from sklearn2rknn.toolkit.containers.image import LABEL_LOCK, LABEL_RECIPE, Image, find_image, recipe_digest
from sklearn2rknn.toolkit.pins import lock as toolkit_lock
from sklearn2rknn.toolkit.pins import versions
from sklearn2rknn.toolkit.pins.versions import toolkit_version
from sklearn2rknn.toolkit.verification import Finding, verify

VERSION = "2.3.2"
WHEEL = "rknn_toolkit2-2.3.2-cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64.whl"


@pytest.fixture
def toolkits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The table and its locks, free to be damaged, an empty cache and no engine."""
    folder = tmp_path / "toolkits"
    shutil.copytree(versions.TOOLKITS, folder)
    for module in (versions, toolkit_lock, image):
        monkeypatch.setattr(module, "TOOLKITS", folder)
    monkeypatch.setattr(toolkit_lock, "DIGESTS", folder / "locks.sha256")
    monkeypatch.setenv("SKLEARN2RKNN_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache" / "wheels").mkdir(parents=True)

    def no_engine(version: str) -> Image:
        raise EngineMissingError("No engine. Start one.")

    monkeypatch.setattr(verification, "find_image", no_engine)
    return folder


def wrong(version: str = VERSION) -> list[Finding]:
    return [finding for finding in verify(version) if finding.ok is False]


def test_unchanged_locks_wheels_and_images_pass(toolkits: Path) -> None:
    for version in versions.toolkit_versions():
        assert wrong(version) == []
    assert [finding.text for finding in verify(VERSION) if finding.ok is None] == [
        "none are kept",
        "No engine.",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("--hash=sha256:666dbfb6", "--hash=sha256:766dbfb6"),
        ("numpy==1.26.4", "numpy==1.26.3"),
        ("tqdm==4.70.1", "torch==2.4.0"),
        ("# x86-64", "# x86-64 "),
    ],
)
def test_a_changed_lock_is_caught(toolkits: Path, old: str, new: str) -> None:
    lock = toolkits / VERSION / "requirements.lock"
    text = lock.read_text()
    assert old in text
    lock.write_text(text.replace(old, new))
    (finding,) = wrong()
    assert "it was changed" in finding.text
    assert "toolkits lock 2.3.2" in finding.text
    toolkit_lock.record_digests()  # the record forged too: what the lock says is left to tell
    assert bool(wrong()) == ("hash" not in old and "#" not in old)


def test_a_missing_lock_is_caught(toolkits: Path) -> None:
    (toolkits / VERSION / "requirements.lock").unlink()
    assert "there is no" in wrong()[0].text


def test_a_lock_without_a_hash_is_caught(toolkits: Path) -> None:
    lock = toolkits / VERSION / "requirements.lock"
    lock.write_text(lock.read_text().split("tqdm==")[0] + "tqdm==4.70.1\n")
    toolkit_lock.record_digests()
    (finding,) = wrong()
    assert finding.text.startswith("tqdm has no hash")


def test_a_swapped_wheel_is_caught_by_its_blob_id(toolkits: Path, tmp_path: Path) -> None:
    (tmp_path / "cache" / "wheels" / WHEEL).write_bytes(b"another")
    (finding,) = wrong()
    assert WHEEL in finding.subject
    assert "git blob id" in finding.text
    assert "0e2dcae619784d875b5fda2bafa2da8cb79754ae" in finding.text


def test_a_swapped_wheel_of_1_5_0_is_caught_by_its_blob_id(toolkits: Path, tmp_path: Path) -> None:
    name = next(file.name for file in toolkit_version("1.5.0").wheel.files if file.python == "3.10")
    (tmp_path / "cache" / "wheels" / name).write_bytes(b"another")
    (finding,) = wrong("1.5.0")
    assert "ec1fa4d0d899d73aa0100694fbf6b903f4a300ed" in finding.text


def test_a_swapped_dependency_is_caught_by_its_hash(toolkits: Path, tmp_path: Path) -> None:
    (tmp_path / "cache" / "wheels" / "tqdm-4.70.1-py3-none-any.whl").write_bytes(b"another")
    (tmp_path / "cache" / "wheels" / "tqdm-4.0-py3-none-any.whl").write_bytes(b"of no version here")
    (finding,) = wrong()
    assert "sha256 differs" in finding.text


@pytest.mark.parametrize(("label", "what"), [(LABEL_LOCK, "lock"), (LABEL_RECIPE, "worker or Dockerfile")])
def test_an_image_from_another_lock_is_caught(
    toolkits: Path, monkeypatch: pytest.MonkeyPatch, label: str, what: str
) -> None:
    entry = toolkit_version(VERSION)
    labels = {LABEL_LOCK: image.lock_digest(entry), LABEL_RECIPE: recipe_digest(entry)}
    found = SimpleNamespace(labels=labels, id="sha256:1", attrs={"Size": 700_000_000})
    client = SimpleNamespace(images=SimpleNamespace(get=lambda tag: found))
    monkeypatch.setattr(image, "connect", lambda: client)
    monkeypatch.setattr(verification, "find_image", find_image)
    assert wrong() == []
    labels[label] = "0" * 64
    with pytest.raises(ImageStaleError, match=f"another {what}.*toolkits build 2.3.2"):
        find_image(VERSION)
    (finding,) = wrong()
    assert finding.subject == "image 2.3.2"


def test_an_image_is_stale_once_the_lock_changes(toolkits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = toolkit_version(VERSION)
    labels = {LABEL_LOCK: image.lock_digest(entry), LABEL_RECIPE: recipe_digest(entry)}
    lock = toolkits / VERSION / "requirements.lock"
    lock.write_text(lock.read_text() + "# changed\n")
    client = SimpleNamespace(images=SimpleNamespace(get=lambda tag: SimpleNamespace(labels=labels)))
    monkeypatch.setattr(image, "connect", lambda: client)
    with pytest.raises(ImageStaleError, match="another lock"):
        find_image(VERSION)
