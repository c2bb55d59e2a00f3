"""One scheduler with two workers for the tests of this folder that leave it as it was."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator

import pytest

import sklearn2rknn
from tests.scheduler.cluster import TOOLKIT, Cluster


@pytest.fixture(scope="session", autouse=True)
def needed() -> None:
    if importlib.util.find_spec("distributed") is None:
        pytest.skip("needs dask.distributed: python -m pip install 'distributed>=2026.8'")
    try:
        sklearn2rknn.open_toolkit(TOOLKIT).close()
    except sklearn2rknn.ToolkitNotInstallableError as error:
        pytest.skip(f"needs rknn-toolkit2 {TOOLKIT}: {error}")


@pytest.fixture(scope="session")
def cluster(needed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as running:
        yield running
