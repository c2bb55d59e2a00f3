"""The executor against the vendor's simulator on hundreds of files: ``tox -e agreement``, some minutes.

What the simulator computes as the program says must agree; ``docs/virtual-npu-agreement.md`` says why the
rest does not, and by how much.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tests.virtual_npu_agreement.survey import Finding, artifacts, changes, examine, table

toolkits = pytest.importorskip(
    "sklearn2rknn.toolkit.toolkit", reason="sklearn2rknn is not installed: no converter"
)


@pytest.fixture(scope="module")
def findings() -> Iterator[list[Finding]]:
    """Everything found, printed as the module ends."""
    found: list[Finding] = []
    yield found
    print("", table(found), changes(found), sep="\n\n")


def _cases() -> list[tuple[str, str]]:
    from tests.virtual_npu_agreement.artifacts import PRECISIONS, TOOLKITS

    return [(version, precision) for version in TOOLKITS for precision in PRECISIONS]


@pytest.mark.parametrize(("version", "precision"), _cases())
def test_agreement(version: str, precision: str, findings: list[Finding]) -> None:
    from sklearn2rknn.errors import ToolkitError

    try:
        with toolkits.open_toolkit(version) as toolkit:
            found = [examine(toolkit, artifact) for artifact in artifacts(version, precision)]
    except ToolkitError as error:
        pytest.skip(f"rknn-toolkit2 {version} cannot be had on this machine: {error}")
    findings += found
    refused = [(f.artifact, f.refused) for f in found if f.refused]
    assert not refused, refused
    assert all(f.same_on_all_cores for f in found), [f.artifact for f in found if not f.same_on_all_cores]
    # Where the simulator computes what the program says: in its own arithmetic nothing is left.
    steps = np.concatenate([f.simulated_steps for f in found if f.kind == "linear"])
    if precision == "int8":
        # A few of the file's weights at a tie are not the simulator's; the layers behind make more of it.
        assert np.mean(steps == 0) >= 0.999
        assert steps.max() <= 1
    else:
        assert not steps.any()
