"""The facts file: what a board answered, as JSON for machines and as Markdown for people."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from rknn_harness.errors import FactsFileError
from rknn_harness.probe.asking import Answered
from rknn_harness.probe.question import FAILED, UNDECIDED
from scirknn.files import write_atomically

__all__ = ["FORMAT", "document", "markdown", "read_facts", "write_facts"]

FORMAT: Final = 1
_LIMIT: Final = 64 << 20  # bytes
_SENTENCES: Final = {
    UNDECIDED: "None of the answers thought of fits alone; the raw data are kept.",
    FAILED: "It could not be asked.",
}
_VIRTUAL: Final = (
    "This was a virtual board: the answers are an emulator's, its times mean nothing, "
    "and none is a fact of an NPU."
)


def document(
    answered: Iterable[Answered],
    *,
    board: str,
    virtual: bool,
    toolkit: str,
    platform: str,
    versions: Mapping[str, str],
    facts: Mapping[str, Any],
    facts_after: Mapping[str, Any],
    clocks: Sequence[Mapping[str, Any]],
    started: str,
    seconds: float,
) -> dict[str, Any]:
    """Put answers and what they hold for into one JSON object.

    Parameters
    ----------
    answered : iterable of Answered
    board : str
    virtual : bool
    toolkit, platform : str
        What built the models, and for which chip.
    versions : mapping
        Of this project's packages.
    facts, facts_after : mapping
        What the board said of itself before and after: versions, clocks, temperatures.
    clocks : sequence of mapping
        What they did at each timing.
    started : str
        UTC.
    seconds : float
    """
    return {
        "probe": FORMAT,
        "board": board,
        "virtual": virtual,
        "toolkit": toolkit,
        "platform": platform,
        "versions": dict(versions),
        "started": started,
        "seconds": round(seconds, 1),
        "facts": dict(facts),
        "clocks": {
            "before": _clocks(facts),
            "after": _clocks(facts_after),
            "pinned": clocks[0].get("pinned") if clocks else None,
            "moved_while_timed": sum(bool(each.get("moved")) for each in clocks),
            "timings": len(clocks),
        },
        "answers": {
            each.question.name: {
                "question": each.question.text,
                "why": each.question.why,
                "answer": each.answer.key,
                "sentence": each.question.answers.get(each.answer.key) or _SENTENCES[each.answer.key],
                "timed": each.question.timed,
                "note": each.answer.note,
                "figures": dict(each.answer.figures),
                "seconds": each.seconds,
                "raw": dict(each.answer.raw),
            }
            for each in answered
        },
    }


def _clocks(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: facts.get(name) for name in ("npu", "ddr", "cpu")}


def write_facts(path: Path, found: Mapping[str, Any]) -> Path:
    """Write the facts to `path`, and beside it ``.md``; return the path of that."""
    view = path.with_suffix(".md")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(found, indent=1) + "\n")
    write_atomically(view, markdown(found))
    return view


def read_facts(path: Path) -> dict[str, Any]:
    """Read a facts file.

    Raises
    ------
    FactsFileError
        It is missing, is none, or of another format.
    """
    try:
        if path.stat().st_size > _LIMIT:
            raise FactsFileError(f"{path} is larger than {_LIMIT >> 20} MiB: no facts file.")
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise FactsFileError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise FactsFileError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict) or "probe" not in found:
        raise FactsFileError(f"{path} is no facts file: rknn-harness probe writes them.")
    if found["probe"] != FORMAT:
        raise FactsFileError(f"{path} has format {found['probe']!r:.20}; this version reads {FORMAT}.")
    answers = found.get("answers")
    texts = ("board", "toolkit")
    if (
        not isinstance(answers, dict)
        or not isinstance(found.get("virtual"), bool)
        or not all(isinstance(found.get(name), str) for name in texts)
    ):
        raise FactsFileError(f"{path} lacks 'board', 'virtual', 'toolkit' or 'answers'.")
    for name, entry in answers.items():
        if not isinstance(entry, dict) or not isinstance(entry.get("answer"), str):
            raise FactsFileError(f"{path}: the answer to {name!r:.60} is {entry!r:.60}.")
    return found


def markdown(found: Mapping[str, Any]) -> str:
    """Write the facts for people: what was asked, answered and measured, raw data left out."""
    facts, clocks = found["facts"], found["clocks"]
    lines = [f"# What {found['board']} answered", ""]
    if found["virtual"]:
        lines += [f"**{_VIRTUAL}**", ""]
    told = {
        "model": facts.get("model"),
        "librknnrt": facts.get("librknnrt"),
        "driver": facts.get("driver"),
        "rknnlite": facts.get("rknnlite"),
        "kernel": facts.get("kernel"),
        "rknn-toolkit2": f"{found['toolkit']}, for {found['platform']}",
        "asked": f"{found['started']}, in {found['seconds']:g} s",
    }
    lines += [f"- {name}: {value}" for name, value in told.items() if value]
    for name, clock in clocks["before"].items():
        if clock:
            lines.append(f"- {name} clocks: {json.dumps(clock)}")
    if clocks["pinned"]:
        lines.append(f"- pinned while timed: {json.dumps(clocks['pinned'])}")
    if clocks["moved_while_timed"]:
        lines.append(f"- clocks moved in {clocks['moved_while_timed']} of {clocks['timings']} timings")
    for timed, title in ((False, "Arithmetic"), (True, "Times")):
        entries = [entry for entry in found["answers"].values() if entry["timed"] == timed]
        if not entries:
            continue
        lines += ["", f"## {title}", "", "| question | answer | figures |", "|---|---|---|"]
        for entry in entries:
            answer = f"{entry['sentence']} {entry['note']}".strip()
            cells = (entry["question"], answer, _figures(entry["figures"]))
            lines.append(f"| {' | '.join(_cell(text) for text in cells)} |")
    return "\n".join(lines) + "\n"


def _figures(figures: Mapping[str, Any]) -> str:
    """Return what is short; the rest is in the JSON."""
    parts = []
    for name, value in figures.items():
        if isinstance(value, dict) and name == "emulated":
            return ""  # no figures of an NPU
        if isinstance(value, float):
            parts.append(f"{name.replace('_', ' ')} {value:.4g}")
        elif isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
            parts.append(f"{name.replace('_', ' ')} {value}")
        elif isinstance(value, list) and value and all(isinstance(item, float) for item in value):
            parts.append(f"{name.replace('_', ' ')} {' to '.join(f'{item:.4g}' for item in value)}")
        elif isinstance(value, list) and value and all(isinstance(item, list) for item in value):
            parts.append(", ".join(" ".join(str(word) for word in item[1:]) for item in value))
    return "; ".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
