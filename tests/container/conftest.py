"""A real engine, and the images it has; without them these tests are skipped and say what is missing."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import attrs
import pytest

from sklearn2rknn import Toolkit
from sklearn2rknn.errors import EngineError
from sklearn2rknn.toolkit.containers.container import ContainerEnvironment, ContainerLimits
from sklearn2rknn.toolkit.containers.engine import connect
from sklearn2rknn.toolkit.containers.image import Image, find_image

if TYPE_CHECKING:
    import docker

FAKE = Path(__file__).with_name("fake_rknn")
FAKE_TAG = "sklearn2rknn-test:fake"


@pytest.fixture(scope="session")
def engine() -> docker.DockerClient:
    try:
        return connect()
    except EngineError as error:
        pytest.skip(str(error))


def image_or_skip(version: str, client: docker.DockerClient) -> Image:
    try:
        return find_image(version, client)
    except EngineError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def fake_image(engine: docker.DockerClient) -> Iterator[Image]:
    """The image of 2.3.2 with a toolkit in it that breaks limits on order."""
    real = image_or_skip("2.3.2", engine)
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        recipe = f"FROM {real.id}\nCOPY rknn /opt/fake/rknn\nENV PYTHONPATH=/opt/fake\n".encode()
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(recipe)
        archive.addfile(entry, io.BytesIO(recipe))
        for file in sorted((FAKE / "rknn").glob("*.py")):
            archive.add(file, f"rknn/{file.name}")
    context.seek(0)
    built, _ = engine.images.build(
        fileobj=context, custom_context=True, tag=FAKE_TAG, network_mode="none", rm=True
    )
    yield attrs.evolve(real, id=str(built.id))
    engine.images.remove(FAKE_TAG, force=True)


@pytest.fixture
def limited(fake_image: Image, tmp_path: Path) -> Iterator[Toolkit]:
    """The fake toolkit in a container with narrow limits."""
    limits = ContainerLimits(memory=400 << 20, processes=64, scratch=64 << 20)
    with Toolkit(ContainerEnvironment("2.3.2", fake_image, limits), jobs=tmp_path) as toolkit:
        yield toolkit
