"""``junit.xml`` for CI servers: a view of a run's ``cases.jsonl``."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import Kind
from rknn_harness.records.printed_commands import replay_command, resume_command
from rknn_harness.records.run_folder import Run
from scirknn.files import open_atomically
from scirknn.text import printable

_ELEMENTS = {
    Kind.UNTRIED: "error",
    Kind.WRONG: "failure",
    Kind.KNOWN: "skipped",
    Kind.REFUSED: "skipped",
}


def write_junit(run: Run) -> Path:
    """Write a run's ``junit.xml``, a suite per toolkit and board, and return its path.

    A failure of the model is a ``failure``, and so is an expected one that passed; an infrastructure error
    is an ``error``; a refused model and an expected failure are ``skipped``. Each has its replay command.
    What was left out on purpose is in ``system-out``. A run that was ended early has an ``error`` of its own.
    """
    suites = ElementTree.Element("testsuites")
    parts: dict[tuple[str, str], list[CaseResult]] = {}
    for result in run.results:
        parts.setdefault((result.case.toolkit, result.board), []).append(result)
    for (toolkit, board), results in sorted(parts.items()):
        kinds = [_ELEMENTS.get(result.kind) for result in results]
        suite = ElementTree.SubElement(
            suites,
            "testsuite",
            name=printable(f"rknn-toolkit2 {toolkit} on {board}"),
            timestamp=printable(str(run.manifest.get("started", ""))),
            tests=str(len(results)),
            failures=str(kinds.count("failure")),
            errors=str(kinds.count("error")),
            skipped=str(kinds.count("skipped")),
            time=f"{sum(map(_seconds, results)):.3f}",
        )
        _properties(suite, run, toolkit, board)
        for result in results:
            _case(suite, result, run)
    if not run.is_finished:
        _ended_early(suites, run)
    path = run.path / "junit.xml"
    with open_atomically(path, follow_links=False) as file:
        ElementTree.ElementTree(suites).write(file, encoding="utf-8", xml_declaration=True)
    return path


def _ended_early(suites: ElementTree.Element, run: Run) -> None:
    """Add an error: what a server reads must not be all green where not all was tried."""
    counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0", "time": "0.000"}
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "rknn-harness run", **counts})
    case = ElementTree.SubElement(suite, "testcase", classname="run", name="complete", time="0.000")
    message = "The run was ended early: not every case was tried."
    error = ElementTree.SubElement(case, "error", type="incomplete", message=message)
    error.text = printable(f"go on: {resume_command(run.path)}")


def _properties(suite: ElementTree.Element, run: Run, toolkit: str, board: str) -> None:
    properties = ElementTree.SubElement(suite, "properties")
    facts = run.manifest["boards"].get(board, {})
    values = {
        **run.manifest.get("versions", {}),
        "rknn-toolkit2": toolkit,
        "seed": run.manifest.get("seed"),
        "board": board,
        "board is virtual": facts.get("virtual"),
        **{name: facts.get(name) for name in ("librknnrt", "driver", "rknnlite")},
    }
    for name, value in values.items():
        ElementTree.SubElement(properties, "property", name=name, value=printable(str(value)))


def _case(suite: ElementTree.Element, result: CaseResult, run: Run) -> None:
    case = ElementTree.SubElement(
        suite,
        "testcase",
        classname=printable(
            f"{result.case.toolkit}.{result.board}.{result.case.group}.{result.case.precision}"
        ),
        name=printable(result.case.id),
        time=f"{_seconds(result):.3f}",
    )
    kind = _ELEMENTS.get(result.kind)
    if kind is not None:
        _end(ElementTree.SubElement(case, kind), result, run)
    for name, reason in result.not_run.items():
        ElementTree.SubElement(case, "system-out").text = f"{name} was not run: {reason}"


def _end(end: ElementTree.Element, result: CaseResult, run: Run) -> None:
    """Say why a case did not pass."""
    sentences = [f"{name}: {error}" for name, error in result.properties.items() if error]
    message = result.reason
    if result.expected:
        passed = "" if result.is_failure else " to fail, and passed"
        message = f"expected{passed}: {result.expected}"
    end.set("type", result.defect or result.ending)
    end.set("message", printable(message or "; ".join(sentences)))
    bad = result.first_bad_stage
    stage = [] if bad is None else [f"first at stage {bad.value}"]
    again = f"again: {replay_command(run.path, run.manifest, result)}"
    end.text = printable(
        "\n".join([*stage, result.reason, *sentences, f"attempts: {result.attempts}", again])
    )


def _seconds(result: CaseResult) -> float:
    return sum(result.seconds.values())
