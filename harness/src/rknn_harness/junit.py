"""``junit.xml`` for CI servers: a view of a run's ``cases.jsonl``."""

from __future__ import annotations

import os
import re
from pathlib import Path
from xml.etree import ElementTree

from rknn_harness.case import CaseResult
from rknn_harness.outcomes import Outcome
from rknn_harness.run_folder import Run

__all__ = ["write_junit"]

# What XML 1.0 cannot hold (https://www.w3.org/TR/xml/#charsets); a vendor's log may hold it.
_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(run: Run) -> Path:
    """Write a run's ``junit.xml`` and return its path.

    A failure of the model is a ``failure``, trouble on the way an ``error``, a refused model ``skipped``.
    """
    suites = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        suites,
        "testsuite",
        name="rknn-conformance",
        timestamp=str(run.manifest.get("started", "")),
        tests=str(len(run.results)),
        failures=str(sum(result.outcome.is_failure for result in run.results)),
        errors=str(sum(result.outcome is Outcome.INFRA_ERROR for result in run.results)),
        skipped=str(sum(result.outcome is Outcome.UNSUPPORTED for result in run.results)),
        time=f"{sum(_seconds(result) for result in run.results):.3f}",
    )
    properties = ElementTree.SubElement(suite, "properties")
    for name, version in run.manifest.get("versions", {}).items():
        ElementTree.SubElement(properties, "property", name=name, value=str(version))
    toolkits = ", ".join(each["version"] for each in run.manifest.get("toolkits", []))
    ElementTree.SubElement(properties, "property", name="rknn-toolkit2", value=toolkits)
    for name, facts in run.manifest.get("boards", {}).items():
        ElementTree.SubElement(
            properties, "property", name=f"board {name} is virtual", value=str(facts["virtual"])
        )
    for result in run.results:
        _case(suite, result)
    path = run.path / "junit.xml"
    temporary = path.with_name(f".junit.{os.getpid()}.part")
    ElementTree.ElementTree(suites).write(temporary, encoding="utf-8", xml_declaration=True)
    os.replace(temporary, path)
    return path


def _case(suite: ElementTree.Element, result: CaseResult) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=f"{result.case.group}.{result.case.precision}",
        name=_clean(result.case.id),
        time=f"{_seconds(result):.3f}",
    )
    if result.outcome is Outcome.PASS:
        return
    kind = {Outcome.INFRA_ERROR: "error", Outcome.UNSUPPORTED: "skipped"}.get(result.outcome, "failure")
    told = ElementTree.SubElement(case, kind, type=result.outcome.value, message=_clean(result.reason))
    stage = "" if result.stage is None else f"first at stage {result.stage.value}\n"
    told.text = _clean(f"{stage}{result.reason}\nattempts: {result.attempts}")


def _seconds(result: CaseResult) -> float:
    return sum(result.seconds.values())


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)
