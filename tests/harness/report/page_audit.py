"""Recompute every number of a report's page from its run's ``cases.jsonl`` and ``manifest.json``.

Plain JSON and numpy: nothing of the package under test is imported. ``audit`` returns complaints, none for a
true page; by hand, ``python -m tests.harness.report.page_audit RUN``.
"""

from __future__ import annotations

import json
import math
import re
import shlex
import sys
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from tests.harness.report.record_facts import condition, family, field

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

# Names that hold digits and are no numbers.
WORDS = re.compile(r"\b(float16|float32|float64|int8|int16|p50|p90|p99|rknn-toolkit2|sklearn2rknn)\b")
UNITS = {
    "": 1.0,
    "%": 0.01,
    "\N{MULTIPLICATION SIGN}": 1.0,
    "s": 1.0,
    "ms": 1e-3,
    "µs": 1e-6,
    "ns": 1e-9,
    "min": 60.0,
    "MHz": 1e6,
}
SHOWN = re.compile(rf"^([-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?)\s*({'|'.join(UNITS)})$")
POWER = re.compile(r"^10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)$")
STATISTICS: dict[str, Callable[[Any], Any]] = {
    "count": len,
    "sum": np.sum,
    "least": np.min,
    "median": np.median,
    "most": np.max,
}
VOID = ("meta", "br", "hr", "img", "input", "link")


class Page(HTMLParser):
    """Texts with digits, and marks, each with all the attributes above it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[tuple[str, dict[str, str]]] = []
        self.texts: list[tuple[str, list[tuple[str, dict[str, str]]]]] = []
        self.charts: list[list[tuple[str, dict[str, str]]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        element = (tag, {name: value or "" for name, value in attributes})
        if tag == "svg":
            self.charts.append([element])
        elif any(name == "svg" for name, _ in self.stack):
            self.charts[-1].append(element)
        if tag not in VOID:
            self.stack.append(element)

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack
        assert self.stack[-1][0] == tag, f"</{tag}> closes <{self.stack[-1][0]}>"
        self.stack.pop()

    def handle_data(self, text: str) -> None:
        if re.search(r"[0-9]", WORDS.sub("", text)) and self.stack[-1][0] not in ("style", "script"):
            self.texts.append((text, list(self.stack)))


def audit(run: Path) -> list[str]:
    """Return what is wrong with a run's ``report.html``."""
    lines = [json.loads(line) for line in (run / "cases.jsonl").read_text("utf-8").splitlines()]
    document = json.loads((run / "manifest.json").read_text("utf-8"))
    page = Page((run / "report.html").read_text("utf-8"))
    return Auditor(lines, document, run).audit(page)


class Auditor:
    def __init__(self, lines: list[dict[str, Any]], document: dict[str, Any], run: Path) -> None:
        self.lines, self.document, self.run = lines, document, run
        self.answers: dict[tuple[str, str], float | None] = {}
        self.columns: dict[str, np.ndarray[Any, Any]] = {}
        self.folder = f"runs/{run.name}" if run.parent.name == "runs" else run.name
        toolkits = Path(__file__).parents[3] / "containers" / "versions.toml"
        defects = tomllib.loads(toolkits.read_text("utf-8"))["defects"]
        self.labels = {
            "toolkit": {line["toolkit"] for line in lines},
            "board": {*(line["board"] for line in lines), *document["boards"]},
            "family": {family(line) for line in lines},
            "defect": {defect["text"] for defect in defects.values()},
            "source": {
                form.format(defect["source"]) for defect in defects.values() for form in ("{}", "({})")
            },
        }

    def audit(self, page: Page) -> list[str]:
        complaints = []
        for text, stack in page.texts:
            wrong = self.text(text.strip(), stack)
            if wrong:
                complaints.append(f"{text.strip()[:80]!r}: {wrong}")
        for chart in page.charts:
            complaints += self.chart(chart)
        return complaints

    def text(self, shown: str, stack: list[tuple[str, dict[str, str]]]) -> str:
        """Return what is wrong with one text, empty for nothing."""
        merged: dict[str, str] = {}
        for _, attributes in stack:
            merged |= attributes
        tag, own = stack[-1]
        index = int(merged["data-i"]) if "data-i" in merged else None
        if tag == "data" and "data-n" in own:
            truth = self.answer(own["data-n"], own.get("data-where"), index)
            return wrong_number(shown, own["value"], truth)
        if tag == "data" and "data-m" in own:
            return wrong_number(shown, own["value"], self.manifest(own["data-m"]))
        if "data-m" in own:
            value = self.manifest(own["data-m"])
            whole = value if isinstance(value, str) else json.dumps(value)
            return "" if whole.startswith(shown) else f"the manifest says {whole!r}"
        if "data-f" in own:
            number, *path = own["data-f"].split("/")
            file = sorted((self.run / "facts").glob("*.json"))[int(number)]
            found: Any = json.loads(file.read_text("utf-8"))
            for part in path:
                found = found[int(part)] if isinstance(found, list) else found[part]
            return "" if shown == found else f"the facts say {found!r}"
        if "data-l" in own:
            return "" if shown in self.labels[own["data-l"]] else f"no {own['data-l']} of this name"
        if "data-t" in own:
            truths = self.told(own["data-t"], index)
            return "" if shown in truths else f"the record says {truths}"
        if "data-tick" in own:
            value, text = float(own["data-value"]), POWER.match(shown)
            if text:
                power = int(text[1].translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")))
                return "" if math.isclose(value, 10.0**power) else f"the tick is at {value}"
            return wrong_number(shown, own["data-value"], value)
        if merged.get("data-decade") is not None and tag in ("data", "sup"):
            return "" if shown in ("10", merged["value"]) else f"the decade is {merged['value']}"
        if tag == "title" and stack[-2][0] == "use":
            assert index is not None
            chart = next(attributes for name, attributes in reversed(stack) if name == "svg")
            name, _, number = shown.partition(": ")
            if name != self.lines[index]["id"]:
                return f"the record's id is {self.lines[index]['id']}"
            truth = field(self.lines[index], chart.get("data-y") or chart["data-x"])
            return wrong_number(number, repr(truth if truth is None else float(truth)), truth)
        if tag == "title" and stack[-2][0] == "head":
            shown = shown.partition(": ")[2]
            words = re.sub(r"\d+", "#", shown)
            fine = [int(word) for word in re.findall(r"\d+", shown)] == self.verdict(words)
            return "" if fine else f"the verdict's numbers are {self.verdict(words)}"
        return "this number has no address"

    def verdict(self, words: str) -> list[int]:
        """Return the numbers that a verdict's words ask for."""
        asked = {
            "# of # cases fail": ("ok=no&expected=no", ""),
            "All # cases agree": ("outcome=pass&ok=yes&compared=yes",),
            "# of # cases agree": ("outcome=pass&ok=yes&compared=yes", ""),
            "# not compared": ("outcome=pass&ok=yes&compared=no",),
            "# known failure": ("ok=no&expected=yes",),
            "# more were expected": ("outcome=pass&ok=yes&expected=yes",),
            "# expected to fail and passed": ("outcome=pass&ok=yes&expected=yes",),
            "# refused": ("outcome=unsupported",),
            "# could not be tried": ("outcome=infra_error",),
        }
        found = []
        for part in words.split("; "):
            for start, questions in asked.items():
                if part.startswith(start):
                    found += [int(self.answer("count cases", each, None) or 0) for each in questions]
        return found

    def chart(self, elements: list[tuple[str, dict[str, str]]]) -> list[str]:
        """Return the marks of a chart that are not where the record and the ticks put them."""
        head = elements[0][1]
        marks = [(tag, own) for tag, own in elements if tag in ("use", "rect") and "x" in own]
        if "data-x" not in head:
            return [f"a mark in a chart without axes: {own}" for _, own in marks if "data-i" in own]
        complaints = []
        place = {
            letter: scale(elements, letter, head[f"data-{letter}-form"])
            for letter in "xy"
            if f"data-{letter}" in head
        }
        for tag, own in marks:
            if "data-i" in own:
                for letter, to in place.items():
                    value = field(self.lines[int(own["data-i"])], head[f"data-{letter}"])
                    if value is None or not abs(to(float(value)) - float(own[letter])) < 0.15:
                        complaints.append(f"mark {own} is not at {head[f'data-{letter}']} {value}")
            elif tag == "use":
                truth = self.answer(own["data-n"], own["data-where"], None)
                if truth is None or not abs(place["x"](truth) - float(own["x"])) < 0.15:
                    complaints.append(f"mark {own} is not at {truth}")
            else:
                names = own["data-n"].split(",")
                low, high = (self.answer(name, own["data-where"], None) for name in names)
                part = int(dict(parse_qsl(own["data-where"]))["bin"])
                x, y, width, height = (float(own[name]) for name in ("x", "y", "width", "height"))
                edges = (x, place["x"](10 ** (part / 3))), (x + width, place["x"](10 ** ((part + 1) / 3)))
                ends = (y, place["y"](high or 0)), (y + height, place["y"](low or 0))
                if not all(abs(is_ - should) < 0.6 for is_, should in (*edges, *ends)):
                    complaints.append(f"band {own} is not from {low} to {high}")
        return complaints

    def answer(self, question: str, where: str | None, index: int | None) -> float | None:
        """Answer a question of the page."""
        if where is None:
            if index is None:
                return None
            return field(self.lines[index], question)
        if (question, where) not in self.answers:
            statistic, name = question.split(" ")
            chosen = np.ones(len(self.lines), bool)
            for key, wanted in parse_qsl(where, keep_blank_values=True):
                if key not in self.columns:
                    self.columns[key] = np.array([condition(line, key) for line in self.lines])
                chosen &= self.columns[key] == wanted
            mine = [self.lines[row] for row in np.flatnonzero(chosen)]
            values = [1.0 if name == "cases" else field(line, name) for line in mine]
            known = [value for value in values if value is not None]
            empty = not known and statistic != "count"
            self.answers[question, where] = None if empty else float(STATISTICS[statistic](np.array(known)))
        return self.answers[question, where]

    def manifest(self, path: str) -> Any:
        value: Any = self.document
        for part in path.split("/"):
            value = value[int(part)] if isinstance(value, list) else value[part]
        return value

    def told(self, kind: str, index: int | None) -> Sequence[str]:
        if kind == "report":
            return [f"rknn-harness report {self.folder}"]
        if kind == "resume":
            return [f"rknn-harness run --resume {self.folder}"]
        if index is None:
            return []
        line = self.lines[index]
        if kind == "replay":
            words = ["rknn-harness", "replay", self.folder, line["id"]]
            words += ["--toolkit", line["toolkit"]] * (len(self.document["toolkits"]) > 1)
            words += ["--board", line["board"]] * (line["board"] != "virtual")
            return [shlex.join(words)]
        if kind == "basis":
            return [line["metrics"][stage]["basis"] for stage in line["metrics"]]
        if kind == "measure":
            return [line["score"]["measure"]]
        if kind == "network":
            spec = line["spec"]
            widths = [spec["n_features"], *spec["hidden"], spec["n_outputs"]]
            layers = ", ".join(map(str, widths))
            return [f"{spec['activation']}, layers of {layers}, seed {spec['seed']}"]
        if kind == "batch_size":
            return [" and ".join(map(str, line["batch_size"]))]
        if kind == "placement":
            return [f"{name} {form} on the {where}" for name, form, where in line["placement"]]
        if kind == "digest names":
            return list(line["digests"])
        if kind.startswith(("digests.", "options.")):
            head, _, rest = kind.partition(".")
            return [line[head][rest]]
        if kind.startswith("property."):
            return [line["properties"][kind.removeprefix("property.")].strip()]
        value = line[kind]
        if kind == "expected":  # a reason, and the link that may end it
            return [value, *(part.strip() for part in value.rpartition(" "))]
        return [each.strip() for each in value] if isinstance(value, list) else [value.strip()]


def wrong_number(shown: str, value: str, truth: float | None) -> str:
    """Compare a number as it is shown, and as its element has it in full, with the truth."""
    if truth is None:
        return "the record has no such number"
    if not math.isclose(float(value), truth, rel_tol=1e-9):
        return f"the page has {value}, the record {truth!r}"
    found = SHOWN.match(shown)
    if found is None:
        return "cannot be read as a number"
    digits, scale_ = found[1], UNITS[found[2]]
    mantissa, _, exponent = digits.partition("e")
    last = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
    # A share just below 1 is told as 99.99 %, never as 100.
    slack = 1.0 if found[2] == "%" else 0.5
    if abs(float(digits) * scale_ - truth) > (slack + 1e-6) * last * scale_:
        return f"the record says {truth!r}"
    return ""


def scale(elements: list[tuple[str, dict[str, str]]], letter: str, form: str) -> Any:
    """Return where an axis puts a value, by its ticks; nowhere, if they are uneven."""
    ticks = [own for _, own in elements if own.get("data-tick") == letter]
    values = np.array([float(own["data-value"]) for own in ticks])
    places = np.array([float(own[letter]) for own in ticks])
    if letter == "y":
        places = places - 4.5  # a text's base line lies below the line that it names

    def bent(value: Any) -> Any:
        return np.log10(np.maximum(value, values.min())) if form == "log" else value

    slope, start = np.polyfit(bent(values), places, 1)
    if np.abs(slope * bent(values) + start - places).max() > 0.15:
        return lambda value: math.nan
    return lambda value: slope * bent(value) + start


if __name__ == "__main__":
    found = audit(Path(sys.argv[1]))
    print("\n".join(found) or "Every number is the record's.")
    sys.exit(bool(found))
