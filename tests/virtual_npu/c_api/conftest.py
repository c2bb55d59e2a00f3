"""A server and the library that speaks to it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.virtual_npu.c_api import librknnrt
from tests.virtual_npu.c_api.librknnrt import Context
from tests.virtual_npu.c_api.models import MODELS


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """The socket and the process number of a server."""
    path = tmp_path_factory.mktemp("npu") / "s"
    with librknnrt.serving(path) as process:
        yield path, process.pid


@pytest.fixture(scope="module")
def library(server: tuple[Path, int], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VIRTUAL_NPU_SOCKET", str(server[0]))
        yield librknnrt.load(librknnrt.build(tmp_path_factory.mktemp("librknnrt")))


@pytest.fixture
def context(library: Any) -> Iterator[Context]:
    opened = Context(library, MODELS["float16"])
    assert opened.code == 0
    yield opened
    opened.close()
