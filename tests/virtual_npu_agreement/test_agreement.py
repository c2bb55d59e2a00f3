"""The executor against the vendor's simulator on hundreds of files: ``tox -e agreement``, some minutes.

What the simulator computes as the program says must agree; ``docs/virtual-npu-agreement.md`` says why the
rest does not, and by how much.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from .survey import NOT_BUILT, Finding, artifacts, examine, table

toolkits = pytest.importorskip("sklearn2rknn.toolkit", reason="sklearn2rknn is not installed: no converter")

REFUSED = (
    "before any table was uploaded",  # int16 lookups: the program never uploads their table
    NOT_BUILT,  # 2.2.0 folds a network whose layer of one is never positive into a constant, and refuses it
    "EW_OP_SRC",  # a sigmoid that is a layer of its own: read literally it looks up max(x, 0)
)
"""What may be refused; anything else must run."""


def _known(finding: Finding) -> bool:
    # The constant of an int16 Mul is stored as int8, so what the program reads runs past its end.
    short = finding.artifact.precision == "int16" and "Mul" in finding.layers
    return short or any(why in finding.refused for why in REFUSED)


@pytest.fixture(scope="module")
def findings() -> Iterator[list[Finding]]:
    """Everything found, printed as the module ends."""
    found: list[Finding] = []
    yield found
    print("\n" + table(found))


def _cases() -> list[tuple[str, str]]:
    from .artifacts import PRECISIONS, TOOLKITS

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
    refused = [f for f in found if f.refused and not _known(f)]
    assert not refused, [(f.artifact, f.refused) for f in refused]
    ran = [f for f in found if not f.refused]
    assert all(f.same_on_all_cores for f in ran), [f.artifact for f in ran if not f.same_on_all_cores]
    plain = [f for f in ran if f.kind == "linear"]
    steps = np.concatenate([f.steps for f in plain])
    if precision == "float16":
        assert not steps.any()
    elif precision == "int8":
        # The program's factors have 15 bits, the simulator's are real: a step now and then, in each layer.
        assert np.mean(steps <= 1) >= 0.999
