"""Write a run's numbers and charts into its pages."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import attrs
from markupsafe import Markup

import sklearn2rknn
from rknn_harness.records.case import ONE_PROGRAM, PRECISIONS, PROPERTIES
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import Kind, Stage
from rknn_harness.records.phases import Phase
from rknn_harness.records.printed_commands import replay_command
from rknn_harness.records.query import Number, Records, failed_properties, field, last_metrics
from rknn_harness.records.run_folder import Run
from rknn_harness.records.run_lock import write_inside, write_json
from rknn_harness.records.specs.mlp_spec import MlpSpec
from rknn_harness.report import wording
from rknn_harness.report.answers import answers
from rknn_harness.report.board_facts import kept_facts
from rknn_harness.report.charts import Axis, Band, Mark, MeasuredMark, log_axis, scatter, stacks
from rknn_harness.report.links import anchor, link_to
from rknn_harness.report.numbers import KINDS, CaseGroup, Question, Summary, summarize
from sklearn2rknn.toolkit.pins.versions import Defect, toolkit_version

Column = Mapping[str, str]
_FAR = 1.15
"""Shares of what is allowed up to which a chart is linear."""

_BINS = 3
"""Parts of a decade of multiply-adds that one box of the estimate's band covers."""


def write_report(run: Run) -> Path:
    """Write ``report.html``, ``report.md`` and ``summary.json`` into a run's folder; return the page's path.

    The page stands alone: style and charts are in it, nothing is fetched.
    """
    summary = summarize(run)
    page = _Page(run, Records(run.results))
    environment = wording.environment()
    views = page.views() | {
        "summary": summary,
        "links": {group.defect: _defect(group, run) for group in summary.groups},
    }
    for name in ("report.md", "report.html"):
        write_inside(run.path / name, environment.get_template(name).render(views))
    write_json(run.path / "summary.json", _document(run, summary, page))
    return run.path / "report.html"


@attrs.frozen(eq=False)
class _Page:
    """The values and functions of the templates."""

    run: Run
    records: Records

    def views(self) -> dict[str, Any]:
        results, boards = self.run.results, self.run.manifest["boards"]
        return self._functions() | {
            "run": self.run,
            "manifest": self.run.manifest,
            "folder": _folder(self.run),
            "boards": self._in_order("board", list(boards)),
            "toolkits": self.records.distinct("toolkit"),
            "precisions": self._in_order("precision", PRECISIONS),
            "columns": self.columns(),
            "families": self.families(),
            "answers": answers(self.records, {board: self.run.is_virtual(board) for board in boards}),
            "phases": self.phases(),
            "PROPERTIES": PROPERTIES,
            "ONE_PROGRAM": ONE_PROGRAM,
            "KINDS": [kind for kind in KINDS if self._some(kind=kind.value)],
            "Kind": Kind,
            "stages": [stage for stage in Stage if stage is not Stage.SKLEARN],
            "scored": [index for index, each in enumerate(results) if each.score is not None],
            "ordered": sorted(range(len(results)), key=self._order),
            "results": results,
            "board_facts": kept_facts(self.run.path),
            "shapes": {name: f"s{index}" for index, name in enumerate(PRECISIONS)},
        }

    def _functions(self) -> dict[str, Callable[..., Any]]:
        return {
            "facts_of": lambda board: self.run.manifest["boards"].get(board, {}),
            "is_virtual": self.run.is_virtual,
            "anchor": anchor,
            "link_to": link_to,
            "network_text": _network_text,
            "last": last_metrics,
            "is_in_properties": lambda result: any(
                sentence.endswith(result.reason) for sentence in result.properties.values() if sentence
            ),
            "is_question": lambda part: isinstance(part, Question),
            "n": self.number,
            "c": self.number_of,
            "m": self.manifest_text,
            "megahertz": self.megahertz,
            "ask": self.records.ask,
            "five": "{:.5f}".format,
            "count": lambda **where: len(self.records.where(where)),
            "count_where": lambda where: len(self.records.where(where)),
            "rows": self.records.where,
            "value": lambda index, name: field(self.run.results[index], name),
            "decades": self.decades,
            "replay": self.replay,
            "share_chart": self.share_chart,
            "latency_chart": self.latency_chart,
        }

    def number(
        self,
        statistic: str,
        name: str,
        form: Callable[[Any], str] | str,
        where: Mapping[str, Any] | None = None,
    ) -> Markup:
        """Return a statistic as markup that carries its question."""
        where = where or {}
        return _data(self.records.ask(statistic, name, where), form, f"{statistic} {name}", where)

    def number_of(self, name: str, form: str, index: int) -> Markup:
        """Return one record's number; the record's index stands on an element around it."""
        return _data(field(self.run.results[index], name), form, name, None)

    def manifest_text(self, path: str, length: int | None = None) -> Markup:
        """Return a text of the manifest, with its path."""
        value = self._of_manifest(path)
        text = value if isinstance(value, str) else json.dumps(value)
        return Markup('<span data-m="{}">{}</span>').format(path, text[:length])

    def megahertz(self, path: str) -> Markup:
        """Return a frequency of the manifest, which has it in Hz."""
        value = self._of_manifest(path)
        if value is None:
            return Markup("—")
        return Markup('<data value="{}" data-m="{}">{:g} MHz</data>').format(value, path, value / 1e6)

    def decades(self, where: Mapping[str, str]) -> list[str]:
        """Return the decades of multiply-adds in which calls were timed."""
        names = {
            str(math.floor(math.log10(work)))
            for work in self.records.values("work", {**where, "timed": "yes"})
        }
        return sorted(names, key=int)

    def replay(self, index: int) -> str:
        """Return the command that tries a case again."""
        return replay_command(_folder(self.run), self.run.manifest, self.run.results[index])

    def latency_chart(self, board: str, toolkit: str) -> Markup:
        where = {"board": board, "timed": "yes"}
        seconds = self.records.values("p50", where)
        estimates = [
            value for end in ("low", "high") for value in self.records.values(f"estimate.{end}", where)
        ]
        bands = []
        mine = where | {"toolkit": toolkit}
        for part in sorted({_bin(work) for work in self.records.values("work", mine)}):
            here = mine | {"bin": str(part)}
            low = self.records.ask("least", "estimate.low", here)
            high = self.records.ask("most", "estimate.high", here)
            if low is not None and high is not None:
                address = _address("least estimate.low,most estimate.high", here)
                bands.append(Band(10 ** (part / _BINS), 10 ** ((part + 1) / _BINS), low, high, address))
        return scatter(
            self._marks(mine, "work", "p50", wording.seconds),
            (
                self._work_axis(where),
                log_axis("p50", "median time of a call", [*seconds, *estimates], wording.seconds),
            ),
            title=f"Median time of a call on {board} against its multiply-adds, toolkit {toolkit}",
            bands=bands,
        )

    def share_chart(self, name: str) -> Markup:
        """Chart a share of what is allowed, a row for each board, toolkit and precision that has it."""
        rows: list[Markup] = []
        marks, medians = [], []
        several = len(self.records.distinct("board")) > 1
        for board, toolkit, precision in itertools.product(
            self._in_order("board", list(self.run.manifest["boards"])),
            self.records.distinct("toolkit"),
            self._in_order("precision", PRECISIONS),
        ):
            where = {"board": board, "toolkit": toolkit, "precision": precision}
            median = self.records.ask("median", name, where)
            if median is None:
                continue
            place = Markup(', <tspan data-l="board">{}</tspan>').format(board) if several else ""
            rows.append(Markup('<tspan data-l="toolkit">{}</tspan> {}{}').format(toolkit, precision, place))
            medians.append(MeasuredMark(median, len(rows) - 1, _address(f"median {name}", where)))
            for index in self.records.where(where):
                value = field(self.run.results[index], name)
                if value is not None:
                    marks.append(self._mark(index, value, len(rows) - 1, wording.percent))
        return stacks(rows, marks, medians, _share_axis(name, [mark.x for mark in marks]))

    def columns(self) -> list[Column]:
        """Return the columns of the matrix: toolkit, precision and board, of those that occur."""
        places = itertools.product(
            self.records.distinct("toolkit"),
            self._in_order("precision", PRECISIONS),
            self._in_order("board", list(self.run.manifest["boards"])),
        )
        names = ("toolkit", "precision", "board")
        wheres = [dict(zip(names, place, strict=True)) for place in places]
        return [where for where in wheres if self.records.where(where)]

    def families(self) -> list[str]:
        """Return the models' names in the run's order, then the random networks' tasks."""
        cases = [result.case for result in self.run.results]
        named = dict.fromkeys(case.family for case in cases if isinstance(case.source, str))
        return [*named, *sorted({case.family for case in cases} - named.keys())]

    def phases(self) -> dict[str, str]:
        """Return what the phases of the run's cases mean, in their order; those of another version last."""
        names = {name for result in self.run.results for name in result.seconds}
        meanings = {phase.value: phase.meaning for phase in Phase if phase.value in names}
        return meanings | {name: name for name in sorted(names - meanings.keys())}

    def _marks(self, where: Mapping[str, str], x: str, y: str, text_of: Callable[[float], str]) -> list[Mark]:
        marks = []
        for index in self.records.where(where):
            across, up = field(self.run.results[index], x), field(self.run.results[index], y)
            if across and up:
                marks.append(attrs.evolve(self._mark(index, up, up, text_of), x=across, link=""))
        return marks

    def _mark(self, index: int, value: float, y: float, text_of: Callable[[float], str]) -> Mark:
        result = self.run.results[index]
        shape = "failed" if result.is_failure else f"s{PRECISIONS.index(result.case.precision)}"
        return Mark(index, value, y, shape, f"{result.case.id}: {text_of(value)}", link_to(result))

    def _of_manifest(self, path: str) -> Any:
        value: Any = self.run.manifest
        for part in path.split("/"):
            value = value[int(part)] if isinstance(value, list) else value[part]
        return value

    def _work_axis(self, where: Mapping[str, str]) -> Axis:
        return log_axis("work", "multiply-adds in a call", self.records.values("work", where))

    def _in_order(self, name: str, order: Sequence[str]) -> list[str]:
        """Return the values that occur, those of `order` first and in its order."""
        values = self.records.distinct(name)
        return [value for value in order if value in values] + [
            value for value in values if value not in order
        ]

    def _some(self, **where: str) -> bool:
        return bool(self.records.where(where))

    def _order(self, index: int) -> tuple[Any, ...]:
        """Order cases as a reader wants them: what is not right first, then the nearest to its limit."""
        result = self.run.results[index]
        return (KINDS.index(result.kind), -(field(result, "allowed") or 0.0), *result.key)


def _share_axis(name: str, values: Sequence[float]) -> Axis:
    """Return an axis with a share's limit, 1, inside; logarithmic where some are far beyond it."""
    label = f"share of the {'derived bound' if name == 'share' else 'chosen tolerance'}"
    if max(values, default=0.0) > _FAR:
        return log_axis(name, label, [*values, 1.0], wording.percent)
    return Axis(
        name,
        label,
        0.0,
        _FAR,
        log=False,
        ticks=(0.0, 0.25, 0.5, 0.75, 1.0),
        text_of=lambda value: f"{value * 100:g} %",
    )


def _network_text(result: CaseResult) -> str:
    """Return what a random network is; empty for another."""
    spec = result.case.source
    if not isinstance(spec, MlpSpec):
        return ""
    return f"{spec.activation}, layers of {', '.join(map(str, spec.widths))}, seed {spec.seed}"


def _data(
    value: Number | None, form: Callable[[Any], str] | str, name: str, where: Mapping[str, Any] | None
) -> Markup:
    if value is None:
        return Markup("—")
    text = form(value) if callable(form) else getattr(wording, form)(value)
    return Markup('<data value="{!r}"{}>{}</data>').format(value, _address(name, where), text)


def _address(name: str, where: Mapping[str, Any] | None) -> Markup:
    conditions = Markup(' data-where="{}"').format(urlencode(where)) if where is not None else Markup("")
    return Markup(' data-n="{}"').format(name) + conditions


def _bin(work: float) -> int:
    return math.floor(_BINS * math.log10(work))


def _folder(run: Run) -> str:
    return f"runs/{run.path.name}" if run.path.parent.name == "runs" else run.path.name


def _defect(fault: CaseGroup, run: Run) -> Defect | None:
    """Return what the table of toolkits has on a fault's defect."""
    if not fault.defect:
        return None
    try:
        defects = toolkit_version(run.results[fault.cases[0]].case.toolkit).defects
    except sklearn2rknn.OptionError:
        return None
    return next((defect for defect in defects if defect.id == fault.defect), None)


def _document(run: Run, summary: Summary, page: _Page) -> dict[str, Any]:
    """Return the report's contents for machines."""
    records = page.records
    axes = ("board", "toolkit", "precision")
    places = itertools.product(*map(records.distinct, axes))
    wheres = [dict(zip(axes, place, strict=True)) for place in places]
    return {
        "format": 1,
        "run": _folder(run),
        "started": run.manifest.get("started"),
        "not_run": run.manifest.get("not_run", []),
        "finished": run.manifest.get("finished"),
        "verdict": summary.verdict,
        "exit_code": int(summary.code),
        "outcomes": {outcome.value: count for outcome, count in summary.counts},
        "matrix": [where | _cell(records, where) for where in wheres if records.where(where)],
        "faults": [
            fault.where
            | {
                "failed": list(failed_properties(first)),
                "expected": fault.kind is Kind.KNOWN,
                "cases": len(fault.cases),
                "smallest": {
                    "id": first.case.id,
                    "toolkit": first.case.toolkit,
                    "board": first.board,
                    "reason": first.reason,
                },
                "replay": page.replay(fault.cases[0]),
            }
            for fault in summary.faults
            for first in [run.results[fault.cases[0]]]
        ],
        "outdated_expectations": [run.results[index].case.id for index in summary.outdated],
    }


def _cell(records: Records, where: Mapping[str, str]) -> dict[str, Any]:
    def count(**conditions: str) -> int:
        return len(records.where({**where, **conditions}))

    def ask(statistic: str, name: str) -> Number | None:
        return records.ask(statistic, name, where)

    return {
        "cases": count(),
        "failed": count(ok="no", expected="no"),
        "failed_as_expected": count(ok="no", expected="yes"),
        "median_error": ask("median", "error"),
        "most_error": ask("most", "error"),
        "least_agreement": ask("least", "agreement"),
        "median_p50_seconds": ask("median", "p50"),
        "median_gain_numpy": ask("median", "gain.numpy"),
        "properties": {
            name: {
                end.replace(" ", "_"): count(**{f"property.{name}": end})
                for end in ("held", "failed", "not run")
            }
            for name in PROPERTIES
        },
    }
