"""Recorded rows in a bundle's metadata: read as they were written, or refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scirknn
from scirknn import probe_rows
from scirknn.bundle import metadata_path, read_bundle
from scirknn.probe_rows import ProbeRows
from tests.device_runtime.bundle.metadata_edits import edit_metadata
from tests.device_runtime.conftest import MakeBundle
from tests.device_runtime.estimators.test_estimator import fitted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

INPUTS, OUTPUTS = 5, 3


@pytest.fixture
def path(make_bundle: MakeBundle) -> Path:
    return make_bundle(fitted("softmax"))


def recorded(rows: int = 8) -> ProbeRows:
    rng = np.random.default_rng(rows)
    inputs = rng.normal(size=(rows, INPUTS)).astype(np.float32)
    return ProbeRows(inputs, rng.normal(size=(rows, OUTPUTS)), 0.125)


def test_rows_are_read_to_the_bit(path: Path) -> None:
    assert read_bundle(path).probe is None
    held = recorded()
    edit_metadata(path, probe_rows=json.loads(json.dumps(probe_rows.to_json(held))))
    found = read_bundle(path).probe
    assert found is not None
    assert found.inputs.tobytes() == held.inputs.tobytes()
    assert found.outputs.tobytes() == held.outputs.tobytes()
    assert found.error == held.error
    assert json.loads(metadata_path(path).read_text())["format"] == 1  # an older runtime ignores them


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"inputs": []}, "needs 1 to 8 rows of 5 inputs"),
        ({"inputs": [[0.0] * INPUTS] * 9}, "needs 1 to 8 rows"),
        ({"inputs": [[0.0] * INPUTS] * 7}, "needs 1 to 8 rows"),
        ({"inputs": [[0.0] * 4] * 8}, "needs 1 to 8 rows"),
        ({"inputs": [[float("nan")] * INPUTS] * 8}, "needs 1 to 8 rows"),
        ({"inputs": [[10**400] * INPUTS] * 8}, "needs 1 to 8 rows"),
        ({"inputs": [["1"] * INPUTS] * 8}, "needs 1 to 8 rows"),
        ({"inputs": [[1e300] * INPUTS] * 8}, "an input beyond float32"),
        ({"outputs": [[True] * OUTPUTS] * 8}, "needs 1 to 8 rows"),
        ({"outputs": None}, "needs 1 to 8 rows"),
        ({"error": -1.0}, "has -1.0 as error"),
        ({"error": float("inf")}, "has inf as error"),
        ({"error": True}, "has True as error"),
    ],
)
def test_anything_else_is_refused(path: Path, change: dict[str, Any], text: str) -> None:
    edit_metadata(path, probe_rows={**probe_rows.to_json(recorded()), **change})
    with pytest.raises(scirknn.BundleFormatError, match=re.escape(text)):
        read_bundle(path)


def test_missing_parts_are_refused(path: Path) -> None:
    values: list[Any] = [[], {"inputs": []}]
    for value in values:
        edit_metadata(path, probe_rows=value)
        with pytest.raises(scirknn.BundleFormatError, match="no inputs, outputs and error"):
            read_bundle(path)
