"""Building, verifying and failing to build, against a real engine."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sklearn2rknn.errors import (
    DiskFullError,
    EnginePermissionError,
    ImageMissingError,
    ImageStaleError,
    RegistryError,
)
from sklearn2rknn.toolkit.containers import image as toolkit_image
from sklearn2rknn.toolkit.containers.engine import connect
from sklearn2rknn.toolkit.containers.image import base_tag, build_image, find_image, lock_digest
from sklearn2rknn.toolkit.pins import lock as toolkit_lock
from sklearn2rknn.toolkit.pins import versions
from sklearn2rknn.toolkit.pins.versions import toolkit_version
from sklearn2rknn.toolkit.verification import verify
from tests.container.conftest import image_or_skip

if TYPE_CHECKING:
    import docker

ENGINE = Path(__file__).parents[2] / "containers" / "engine"
MODULES = (versions, toolkit_lock, toolkit_image)


@pytest.fixture
def toolkits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The table and its locks, free to be changed."""
    folder = tmp_path / "toolkits"
    shutil.copytree(versions.TOOLKITS, folder)
    for module in MODULES:
        monkeypatch.setattr(module, "TOOLKITS", folder)
    monkeypatch.setattr(toolkit_lock, "DIGESTS", folder / "locks.sha256")
    return folder


@pytest.mark.parametrize("version", ["2.3.2", "2.5.0"])
def test_labels_carry_version_lock_and_source(engine: docker.DockerClient, version: str) -> None:
    image = image_or_skip(version, engine)
    labels = engine.images.get(image.id).labels
    assert labels["sklearn2rknn.version"] == version
    assert labels["sklearn2rknn.lock"] == image.lock_sha256 == lock_digest(toolkit_version(version))
    assert labels["sklearn2rknn.source"] == "index"
    assert image.size <= 900_000_000


def test_verify_sees_an_image_from_another_lock(engine: docker.DockerClient, toolkits: Path) -> None:
    image_or_skip("2.3.2", engine)
    assert not [finding for finding in verify("2.3.2") if finding.ok is False and "image" in finding.subject]
    lock = toolkits / "2.3.2" / "requirements.lock"
    lock.write_text(lock.read_text() + "# changed\n")
    with pytest.raises(ImageStaleError, match="another lock"):
        find_image("2.3.2", engine)
    assert {finding.subject for finding in verify("2.3.2") if finding.ok is False} == {
        "lock 2.3.2",
        "image 2.3.2",
    }


def test_a_missing_image_says_how_to_build_it(engine: docker.DockerClient) -> None:
    with pytest.raises(ImageMissingError, match=r"rknn-harness toolkits build 1\.5\.2"):
        find_image("1.5.2", engine)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_an_engine_of_others_is_told(engine: docker.DockerClient) -> None:
    if not os.environ.get("DOCKER_HOST", "unix://").startswith("unix://"):
        pytest.skip("needs an engine on a unix socket")
    os.setegid(65534)
    os.seteuid(65534)
    try:
        with pytest.raises(EnginePermissionError, match="usermod -aG docker"):
            connect()
    finally:
        os.seteuid(0)
        os.setegid(0)


def one_small_wheel(toolkits: Path) -> None:
    """Let the lock of 2.3.2 be one wheel, so that collecting it is quick."""
    lock = toolkits / "2.3.2" / "requirements.lock"
    lock.write_text("tqdm==" + lock.read_text().split("\ntqdm==")[1])


def test_a_base_that_no_registry_gives(engine: docker.DockerClient, toolkits: Path) -> None:
    one_small_wheel(toolkits)
    with pytest.raises(RegistryError, match="rknn-harness toolkits base"):
        build_image("2.3.2", base="127.0.0.1:1/nothing:1")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to start an engine on a small disk")
def test_a_full_disk_is_told(
    engine: docker.DockerClient, toolkits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not shutil.which("dockerd"):
        pytest.skip("needs dockerd (Debian's docker.io), to start an engine on a small disk")
    image_or_skip("2.3.2", engine)
    base = tmp_path / "base.tar"
    with base.open("wb") as file:
        file.writelines(engine.images.get(base_tag("3.11")).save())
    disk = Path("/tmp") / f"engine-{os.getpid()}"  # a socket's path must be short
    disk.mkdir()
    # The base is some 170 MB, and lies there twice while it is loaded.
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", str(disk)], check=True)
    try:
        host = subprocess.run(
            [str(ENGINE), "start", str(disk)], stdout=subprocess.PIPE, text=True, check=True
        ).stdout.strip()
        monkeypatch.setenv("DOCKER_HOST", host)
        with base.open("rb") as file:
            connect().images.load(file)
        with (disk / "ballast").open("wb") as ballast:
            free = shutil.disk_usage(disk).free
            ballast.write(bytes(max(0, free - (4 << 20))))
        with pytest.raises(DiskFullError, match="docker system prune"):
            build_image("2.3.2", base=base_tag("3.11"))
    finally:
        subprocess.run([str(ENGINE), "stop", str(disk)], check=True)
        subprocess.run(["umount", "--recursive", str(disk)], check=True)
        disk.rmdir()
