"""The real toolkit, once for all tests that need it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sklearn2rknn import Toolkit, ToolkitNotInstallableError
from sklearn2rknn.toolkit.venv import ensure_environment


@pytest.fixture(scope="session")
def toolkit() -> Iterator[Toolkit]:
    """Toolkit 2.3.2 in its virtual environment, which is made on first use."""
    try:
        environment = ensure_environment("2.3.2")
    except ToolkitNotInstallableError as error:
        pytest.skip(f"needs rknn-toolkit2 2.3.2: {error}")
    with Toolkit(environment) as toolkit:
        yield toolkit
