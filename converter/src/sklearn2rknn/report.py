"""What a conversion did, for a person and for a program."""

from __future__ import annotations

import html
import io
import itertools
import json
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from scirknn.text import printable
from sklearn2rknn.checking.agreement import Agreement
from sklearn2rknn.checking.check_result import CheckResult
from sklearn2rknn.network.layer import CLIPPED_TANH, TANH_CHANNELS
from sklearn2rknn.tolerances import FEWEST_ROWS
from sklearn2rknn.toolkit.toolkit_facts import ToolkitFacts
from virtual_npu import numpy_seconds

_TITLES = {"onnx": "float32 ONNX", "simulator": "simulator", "virtual_npu": "virtual NPU", "host": "numpy"}

_ROWS = {
    "check_input": "rows of check_input",
    "held_out": "rows held out of example_input",
    "example_input": "rows of example_input, which the file was built from",
    "given": "rows, which nothing was built from",
    "random": "rows of random input (give example_input for a real check)",
}

_WIDTH, _INDENT = 80, 12


def plain_text(shown: RenderableType) -> str:
    """Return what rich prints, in lines of up to 100 columns and no colours whatever the environment asks."""
    output = io.StringIO()
    Console(file=output, width=100, color_system=None, force_terminal=False, markup=False, emoji=False).print(
        shown
    )
    return "\n".join(line.rstrip() for line in output.getvalue().splitlines())


@attrs.frozen(repr=False)
class ConversionReport:
    """What `convert` did.

    ``str()`` gives what a user needs in some lines, `details` everything, `to_json` a document.

    Attributes
    ----------
    path : pathlib.Path
        The first model file; its metadata lies beside it.
    files : mapping of str to int
        Size in bytes of each model file, and of the file of arrays where there is one.
    samples : tuple of int
        Batch size of each file.
    estimator, task, head : str
    widths : tuple of int
        Columns of X, of each hidden layer and of the output.
    precision, accuracy, target_platform : str
    activations : tuple of str
        Of each layer that the NPU was given; ``"refined"`` and ``"half tanh"`` stand for tanh or logistic.
    toolkit : ToolkitFacts
    placement : mapping
        Layers on the NPU and on the CPU.
    ranges : sequence of mapping
        Of each tensor as the NPU holds it: ``tensor``, ``width`` (columns), ``low``, ``high`` (None: not
        known) and ``from``, what they are known from. An input that is not known has ``bearable``, how large
        it may be for no tensor to leave the format.
    check : CheckResult
        How the built file's outputs compare with the estimator's.
    seconds : float
    form : str
        Operators of the graph.
    head_on_npu : bool
    methods : tuple of str
        Those that the loaded model has.
    why_on_host : str
        Why there is no file for the NPU; empty where there is one. `toolkit` is None then.
    estimate : tuple of two floats, or None
        Seconds of one call with the first file, least and most, by `virtual_npu.estimate`; never a
        measurement. None for other chips.
    break_even : int or None
        From about how many rows a call the NPU is estimated to be faster than one CPU core in numpy; 0: it
        never is. None: the bundle has no weights for the CPU.
    full_cubes : tuple of str
        Layers with a pass over 8,191 columns, lines or channels, or more: a lookup over so many columns was
        seen to corrupt some [silicon: rockchip-npu-notes, September 2026].
    kernel : str
        Where the exponentials of a kernel of many stored rows are computed, and why; else empty.
    evidence : str
        How the arithmetic by which the virtual NPU executes the first file is known.
    """

    path: Path
    files: Mapping[str, int]
    samples: tuple[int, ...]
    estimator: str
    task: str
    head: str
    widths: tuple[int, ...]
    precision: str
    accuracy: str
    activations: tuple[str, ...]
    target_platform: str
    toolkit: ToolkitFacts | None
    placement: Mapping[str, Any]
    ranges: Sequence[Mapping[str, Any]]
    check: CheckResult
    seconds: float
    form: str = "conv"
    head_on_npu: bool = False
    methods: tuple[str, ...] = ()
    estimate: tuple[float, float] | None = None
    break_even: int | None = None
    why_on_host: str = ""
    full_cubes: tuple[str, ...] = ()
    kernel: str = ""
    evidence: str = ""

    def to_json(self) -> str:
        """Return the report as a JSON document."""
        values = attrs.asdict(self, recurse=False)
        toolkit = None if self.toolkit is None else self.toolkit.to_json()
        values |= {"path": str(self.path), "toolkit": toolkit, "check": self.check.to_json()}
        return json.dumps(values, indent=1, allow_nan=False)

    def __rich__(self) -> Text:
        """Return what rich prints: the lines of ``str()``, in colour."""
        return Text("\n").join(_summary(self))

    def __str__(self) -> str:
        return "\n".join(line.plain for line in _summary(self))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return f"<pre>{html.escape(str(self))}</pre>"

    def details(self) -> str:
        """Return everything about the conversion: the path and a table."""
        table = Table(show_header=False, box=None, pad_edge=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, text in [*_model_lines(self), *_range_lines(self), *_check_lines(self.check)]:
            table.add_row(name, text)
        if self.evidence:
            table.add_row("evidence", self.evidence)
        table.add_row("time", f"{self.seconds:.2f} s")
        # Do not wrap the path, so that it can be copied.
        return printable(f"{self.path}\n{plain_text(table)}".rstrip())


def _model_lines(report: ConversionReport) -> list[tuple[str, str]]:
    toolkit, placement = report.toolkit, report.placement
    if toolkit is None:
        return [("model", report.estimator), ("files", _sizes(report)), ("place", report.why_on_host)]
    place = "NPU" if report.head_on_npu else "host"
    form = "" if report.form == "conv" else f", as {report.form}"
    pairs = ", in float16 pairs," if report.accuracy == "double" else ""
    layers = f"{placement['npu']} on the NPU, {placement['cpu']} on the CPU"
    if "unknown" in placement:
        layers = f"placement not known: {placement['unknown']}"
    lines = [
        (
            "model",
            f"{report.estimator}, {'-'.join(map(str, report.widths))}, {report.head} on the {place}{form}",
        ),
        ("file", _sizes(report)),
        ("batch size", ", ".join(map(str, report.samples))),
        ("precision", f"{report.precision}{pairs} for {report.target_platform}"),
        ("activation", _activation(report.activations)),
        ("kernel", report.kernel),
        (
            "toolkit",
            f"{toolkit.version} in a {toolkit.environment} (model format {toolkit.model_format}; needs "
            f"librknnrt {toolkit.oldest_runtime} or newer)",
        ),
        ("layers", layers),
        ("methods", ", ".join(report.methods)),
        ("at the limit", _full_cubes(report.full_cubes)),
    ]
    return [(name, text) for name, text in lines if text]


def _sizes(report: ConversionReport) -> str:
    return ", ".join(f"{name} ({size / 1000:.1f} kB)" for name, size in report.files.items())


def _full_cubes(layers: Sequence[str]) -> str:
    if not layers:
        return ""
    return f"{', '.join(layers)}: passes over 8,191 lines or channels or more, of which a chip may spoil some"


def _activation(activations: Sequence[str]) -> str:
    """Say how tanh and logistic are computed, and what error remains."""
    refined, clipped = activations.count("refined"), activations.count(CLIPPED_TANH)
    if refined:
        return f"refined: {3 * refined} tasks for errors of 7e-4 at most; plain errs by 5e-3"
    if clipped:
        return f"clipped: {2 * clipped} tasks and {TANH_CHANNELS} channels a unit for errors of 3e-4 at most"
    plain = sorted({"tanh", "logistic"} & set(activations))
    return f"plain: the NPU's table of {' and '.join(plain)} errs by up to 5e-3" if plain else ""


def _range_lines(report: ConversionReport) -> list[tuple[str, str]]:
    texts = []
    for each in report.ranges:
        name = f"{each['tensor']}, {each['width']} wide"
        if "bearable" in each:
            texts.append(
                f"{name}: unknown; give example_input. Inputs up to {each['bearable']:.2g} in size are safe "
                "in float16"
            )
        elif None not in (each["low"], each["high"]):
            origin = f" ({each['from']})" if each["from"] else ""
            texts.append(f"{name}: {each['low']:.3g} to {each['high']:.3g}{origin}")
    return [("" if i else "ranges", text) for i, text in enumerate(texts)]


def _check_lines(check: CheckResult) -> list[tuple[str, str]]:
    if check.is_off:
        return [("check", "off: the built file was not run")]
    lines = [("check", f"{check.rows} {_ROWS[check.input]}")]
    for stage, title in _TITLES.items():
        if stage in check.stages:
            lines.append((f"  {title}", describe(check.stages[stage], counted=check.is_counted)))
        elif stage in check.unavailable:
            lines.append((f"  {title}", f"not run: {check.unavailable[stage]}"))
    if check.bound is not None:
        bound = f"outputs within {check.bound:.1e}, derived from the arithmetic"
        if check.bound == float("inf"):
            bound = "none: numbers of some rows may leave float16"
        lines.append(("  bound", bound))
    if check.lookups:
        readings = ", ".join(f"{apart:.1e} ({name})" for name, apart in check.lookups.items())
        lines.append(("  lookups", f"otherwise read, outputs of the first rows differ by up to {readings}"))
    return lines


def describe(stage: Agreement, *, counted: bool = True) -> str:
    """Put one comparison into words.

    Parameters
    ----------
    counted : bool
        Whether there are enough rows for a share of labels and R2.
    """
    parts = []
    if counted and stage.labels is not None:
        parts.append(f"{100 * stage.labels:.2f} % of labels equal")
    if counted and stage.max_probability_error is not None:
        parts.append(f"probabilities within {stage.max_probability_error:.1e}")
    if counted and stage.r2 is not None:
        parts.append("R2 below 0" if stage.r2 < 0 else f"R2 {stage.r2:.6f}")
    share = "" if stage.bound_share is None else f" ({100 * stage.bound_share:.0f} % of their bound)"
    return ", ".join([*parts, f"outputs within {stage.max_error:.1e}{share}"])


def _summary(report: ConversionReport) -> list[Text]:
    """Return what a user needs to know, in lines of at most 80 columns."""
    is_known, right = _right(report)
    quoted, name = shlex.quote(str(report.path.with_suffix(""))), shlex.quote(report.path.name)
    return [
        *_files(report),
        *_titled("kernel", report.kernel),
        *_titled("right", right, "" if is_known else "yellow"),
        *_titled("speed", _speed(report)),
        _line("next", f"scp {quoted}.* BOARD:   then there   scirknn predict {name} X.csv"),
    ]


def _files(report: ConversionReport) -> list[Text]:
    if report.toolkit is None:
        folder = report.path.parent
        return [
            Text("  " + ", ".join(str(folder / name) for name in report.files)),
            _line("", f"{sum(report.files.values()) / 1000:.0f} kB, float64, on the board's CPU"),
        ]
    names = ", ".join([str(report.path), *list(report.files)[1:], f"{report.path.name}.json"])
    placement = report.placement
    layers = placement["npu"] + placement["cpu"]
    placed = f"{layers} layers all on the NPU"
    if "unknown" in placement:
        placed = "placement of its layers not known"
    elif placement["cpu"]:
        placed = f"{placement['npu']} of {layers} layers on the NPU"
    kilobytes = sum(report.files.values()) / 1000
    facts = f"{kilobytes:.0f} kB, {report.precision}, {report.target_platform.upper()}, {placed}"
    if len(names) + len(facts) + 4 <= _WIDTH:
        return [_text(f"  {names}  {facts}")]
    return [_text(f"  {names}"), _line("", facts)]


def _right(report: ConversionReport) -> tuple[bool, str]:
    """Return whether something is known, and the sentence."""
    check = report.check
    if check.is_off:
        return False, "unknown: the check is off"
    if check.input == "random":
        return False, "unknown: give rows (--example-input)"
    if not check.is_counted:
        return False, (
            f"not checked on held-out rows: give {2 * FEWEST_ROWS} rows or more (--example-input), or "
            f"{FEWEST_ROWS} others (--check-input)"
        )
    deciding, rows = check.deciding, check.rows
    assert deciding is not None, "the simulator has run"
    kind = {"held_out": "held-out rows", "given": "rows"}.get(check.input, "rows of --check-input")
    by = " by the simulator" if "virtual_npu" in check.unavailable else ""
    if deciding.r2 is not None:
        return True, f"R2 {deciding.r2:.6f} against scikit-learn on {rows} {kind}{by}"
    if deciding.labels is None:
        return True, f"outputs within {deciding.max_error:.2g} of scikit-learn's on {rows} {kind}{by}"
    what, count = "label", rows
    if report.task == "multilabel":
        what, count, kind = "value", rows * report.widths[-1], f"labels of {rows} {kind}"
    text = f"{round(deciding.labels * count)} of {count} {kind} have scikit-learn's {what}{by}"
    if "predict_proba" in report.methods:
        text += f" (probabilities ±{deciding.max_probability_error:.2g})"
    return True, text


def _speed(report: ConversionReport) -> str:
    if report.why_on_host:
        return f"no NPU: {report.why_on_host}"
    if report.estimate is None:
        return "unknown: there is an estimate for the RK3588 alone"
    low, high = (1000 * seconds for seconds in report.estimate)
    rows, products = report.samples[0], sum(a * b for a, b in itertools.pairwise(report.widths))
    cpu, most = (1000 * seconds for seconds in numpy_seconds(rows * products, len(report.widths) - 1))
    text = f"{low:.2g} to {high:.2g} ms for up to {rows} row{'s' * (rows > 1)} (estimate). "
    text += f"One A76 core in numpy needs {cpu:.1g} to {most:.1g} ms."
    if report.break_even is not None:
        return f"{text} {_break_even(report.break_even)}"
    return text + " The CPU is likely faster." * (most < low)


def _break_even(rows: int) -> str:
    if rows == 0:
        return "The CPU is likely faster for any number of rows."
    if rows == 1:
        return "The NPU is likely faster."
    return f"From about {rows} rows a call the NPU is likely faster."


def _titled(title: str, text: str, style: str = "") -> list[Text]:
    """Break a text between words, the title before its first line."""
    lines = textwrap.wrap(text, _WIDTH - _INDENT, break_long_words=False, break_on_hyphens=False)
    return [_line("" if i else title, line, style) for i, line in enumerate(lines)]


def _line(title: str, text: str, style: str = "") -> Text:
    return Text.assemble((f"  {title:{_INDENT - 2}}", "bold"), (printable(text), style))


def _text(line: str) -> Text:
    return Text(printable(line))
