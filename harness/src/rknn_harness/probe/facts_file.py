"""The facts file: a board's answers, as JSON for machines and as Markdown for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from rknn_harness.errors import FactsFileError
from rknn_harness.probe.asking import Answered
from rknn_harness.probe.question import SENTENCES
from rknn_harness.report.wording import cell
from scirknn.files import read_file, write_atomically
from scirknn.text import parse_json, printable

FORMAT: Final = 1
_LIMIT: Final = 64 << 20  # bytes
_VIRTUAL: Final = (
    "This was a virtual board: the answers are an emulator's, its times mean nothing, "
    "and none is a fact of an NPU."
)


@attrs.frozen(kw_only=True)
class ProbeRun:
    """The board that was asked, and the conditions.

    Attributes
    ----------
    board : str
    virtual : bool
    toolkit, platform : str
        What built the models, and for which chip.
    versions : mapping
        Of this project's packages.
    facts, facts_after : mapping
        The board's own before and after: versions, clocks, temperatures.
    clocks : sequence of mapping
        One a timing.
    started : str
        UTC.
    seconds : float
    """

    board: str
    virtual: bool
    toolkit: str
    platform: str
    versions: Mapping[str, str]
    facts: Mapping[str, Any]
    facts_after: Mapping[str, Any]
    clocks: Sequence[Mapping[str, Any]]
    started: str
    seconds: float


def document(answered: Iterable[Answered], run: ProbeRun) -> dict[str, Any]:
    """Return answers and their conditions as one JSON object."""
    return {
        "probe": FORMAT,
        "board": run.board,
        "virtual": run.virtual,
        "toolkit": run.toolkit,
        "platform": run.platform,
        "versions": dict(run.versions),
        "started": run.started,
        "seconds": round(run.seconds, 1),
        "facts": dict(run.facts),
        "clocks": {
            "before": _clocks(run.facts),
            "after": _clocks(run.facts_after),
            "pinned": run.clocks[0].get("pinned") if run.clocks else None,
            "moved_while_timed": sum(bool(each.get("moved")) for each in run.clocks),
            "timings": len(run.clocks),
        },
        "answers": {each.question.name: _answer(each) for each in answered},
    }


def _answer(answered: Answered) -> dict[str, Any]:
    question, answer = answered.question, answered.answer
    return {
        "question": question.text,
        "why": question.why,
        "answer": answer.key,
        "sentence": question.answers.get(answer.key) or SENTENCES[answer.key],
        "timed": question.timed,
        "published": question.published,
        "blind_spot": question.blind_spot,
        "note": answer.note,
        "figures": dict(answer.figures),
        "seconds": answered.seconds,
        "raw": dict(answer.raw),
    }


def _clocks(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts.get(name) for name in ("npu", "ddr", "cpu")}


def write_facts(path: Path, facts: Mapping[str, Any]) -> Path:
    """Write the facts to `path`, and beside it ``.md``; return the path of that."""
    view = path.with_suffix(".md")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(facts, indent=1) + "\n")
    write_atomically(view, markdown(facts))
    return view


def read_facts(path: Path) -> dict[str, Any]:
    """Read a facts file.

    Raises
    ------
    FactsFileError
        It is missing, is no facts file, or of another format.
    """
    try:
        facts = parse_json(read_file(path, _LIMIT), finite=False)
    except OSError as error:
        raise FactsFileError(f"{path} cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise FactsFileError(f"{path} is not JSON: {error}") from None
    if not isinstance(facts, dict) or "probe" not in facts:
        raise FactsFileError(f"{path} is no facts file: rknn-harness probe writes them.")
    if facts["probe"] != FORMAT:
        raise FactsFileError(f"{path} has format {facts['probe']!r:.20}; this version reads {FORMAT}.")
    answers = facts.get("answers")
    texts = ("board", "toolkit")
    if (
        not isinstance(answers, dict)
        or not isinstance(facts.get("virtual"), bool)
        or not all(isinstance(facts.get(name), str) for name in texts)
    ):
        raise FactsFileError(f"{path} lacks 'board', 'virtual', 'toolkit' or 'answers'.")
    for name, entry in answers.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("answer"), str):
            raise FactsFileError(f"{path}: the answer to {name!r:.60} is {entry!r:.60}.")
    return facts


def markdown(facts: Mapping[str, Any]) -> str:
    """Return the board_facts as Markdown, without the raw data."""
    board_facts, clocks = facts["facts"], facts["clocks"]
    lines = [f"# What {facts['board']} answered", ""]
    if facts["virtual"]:
        lines += [f"**{_VIRTUAL}**", ""]
    about = {
        "model": board_facts.get("model"),
        "librknnrt": board_facts.get("librknnrt"),
        "driver": board_facts.get("driver"),
        "rknnlite": board_facts.get("rknnlite"),
        "kernel": board_facts.get("kernel"),
        "rknn-toolkit2": f"{facts['toolkit']}, for {facts['platform']}",
        "asked": f"{facts['started']}, in {facts['seconds']:g} s",
    }
    lines += [f"- {name}: {value}" for name, value in about.items() if value]
    for name, cpus in (board_facts.get("npu_interrupts") or {}).items():
        lines.append(f"- {name} of the NPU is served by CPU {cpus}")
    for name, clock in clocks["before"].items():
        if clock:
            lines.append(f"- {name} clocks: {json.dumps(clock)}")
    if clocks["pinned"]:
        lines.append(f"- pinned while timed: {json.dumps(clocks['pinned'])}")
    if clocks["moved_while_timed"]:
        lines.append(f"- clocks moved in {clocks['moved_while_timed']} of {clocks['timings']} timings")
    for timed, title in ((False, "Arithmetic"), (True, "Times")):
        entries = [entry for entry in facts["answers"].values() if entry["timed"] == timed]
        if not entries:
            continue
        lines += ["", f"## {title}", "", "| question | answer | figures |", "|---|---|---|"]
        for entry in entries:
            known = f"(A check: {entry['published']}.)" if entry.get("published") else ""
            parts = (entry["sentence"], entry["note"], known, entry.get("blind_spot", ""))
            answer = " ".join(filter(None, parts))
            cells = (entry["question"], answer, _figures(entry["figures"]))
            lines.append(f"| {' | '.join(map(cell, cells))} |")
    return printable("\n".join(lines) + "\n")


def _figures(figures: Mapping[str, Any]) -> str:
    """Return the short figures; the others are in the JSON."""
    if isinstance(figures.get("emulated"), dict):
        return ""  # no figures of an NPU
    texts = ((name.replace("_", " "), value) for name, value in figures.items())
    return "; ".join(filter(None, (_figure(name, value) for name, value in texts)))


def _figure(name: str, value: Any) -> str:
    if isinstance(value, float):
        return f"{name} {value:.4g}"
    if isinstance(value, (str, int)) and not isinstance(value, bool):
        return f"{name} {value}"
    if isinstance(value, list) and value and all(isinstance(item, float) for item in value):
        return f"{name} {' to '.join(f'{item:.4g}' for item in value)}"
    if isinstance(value, list) and value and all(isinstance(item, list) for item in value):
        return ", ".join(" ".join(str(word) for word in item[1:]) for item in value)
    return ""
