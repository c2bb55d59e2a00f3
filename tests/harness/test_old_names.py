"""Modules that the documentation named are still there under their old names."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("case", "records.case", "Case"),
        ("case", "records.case_result", "CaseResult"),
        ("outcomes", "records.outcomes", "Outcome"),
        ("run_folder", "records.run_folder", "read_run"),
        ("comparison", "report.comparison", "compare"),
        ("trend", "report.trend", "Trend"),
        ("arm64_board", "boards.providers.arm64", "main"),
    ],
)
def test_an_old_name_leads_to_the_new_module_and_says_so(old: str, new: str, name: str) -> None:
    sys.modules.pop(f"rknn_harness.{old}", None)
    with pytest.warns(DeprecationWarning, match=rf"rknn_harness\.{new.split('.')[0]}"):
        module = importlib.import_module(f"rknn_harness.{old}")
    assert getattr(module, name) is getattr(importlib.import_module(f"rknn_harness.{new}"), name)
