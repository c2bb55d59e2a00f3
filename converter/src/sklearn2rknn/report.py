"""What a conversion did, for a person and for a program."""

from __future__ import annotations

import html
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sklearn2rknn.network.layer import CHANNELS, HALF
from sklearn2rknn.summary import is_counted, summary

__all__ = ["ConversionReport"]

STAGES = {"onnx": "float32 ONNX", "simulator": "simulator", "virtual_npu": "virtual NPU"}
"""What a check compares with the estimator, the last word last."""


@attrs.frozen(repr=False)
class ConversionReport:
    """What `convert` did.

    ``str()`` gives what a user needs in some lines, `details` all of it, `to_json` a document.

    Attributes
    ----------
    path : pathlib.Path
        The first model file; its metadata lies beside it.
    files : mapping of str to int
        Size in bytes of each model file.
    samples : tuple of int
        Rows per run of each file.
    estimator, task, head : str
    widths : tuple of int
        Columns of X, of each hidden layer and of the output.
    precision, accuracy, target_platform : str
    toolkit : mapping
        Version, lock and options of the toolkit, and what reads its files.
    activations : tuple of str
        Of each layer that the NPU was given; ``"refined"`` and ``"half tanh"`` stand for tanh or logistic.
    placement : mapping
        Layers on the NPU and on the CPU.
    ranges : sequence of mapping
        Of each tensor as the NPU holds it: ``tensor``, ``width`` (columns), ``low``, ``high`` (None: not
        known) and ``from``, what they are known from. An input that is not known has ``bearable``, how large
        it may be for no tensor to leave the format.
    check : mapping
        What the built file computed beside the reference.
    seconds : float
    form : str
        Operators of the graph.
    head_on_npu : bool
    estimate : tuple of two floats, or None
        Seconds of one run of the first file, least and most, by published rates of the RK3588; never a
        measurement. None for other chips.
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
    toolkit: Mapping[str, Any]
    placement: Mapping[str, Any]
    ranges: Sequence[Mapping[str, Any]]
    check: Mapping[str, Any]
    seconds: float
    form: str = "conv"
    head_on_npu: bool = False
    estimate: tuple[float, float] | None = None

    def to_json(self) -> str:
        """Return the report as a JSON document."""
        values = attrs.asdict(self, recurse=False)
        values["path"] = str(self.path)
        return json.dumps(values, indent=1, allow_nan=False)

    def __rich__(self) -> Text:
        """Return what rich prints: the lines of ``str()``, in colour."""
        return Text("\n").join(summary(self))

    def __str__(self) -> str:
        return "\n".join(line.plain for line in summary(self))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        return f"<pre>{html.escape(str(self))}</pre>"

    def details(self) -> str:
        """Return all that is known of the conversion: the path and a table."""
        output = io.StringIO()
        Console(file=output, width=100, color_system=None, force_terminal=False).print(self._table())
        # The path is whole, to be copied.
        return "\n".join([str(self.path), *(line.rstrip() for line in output.getvalue().splitlines())])

    def _table(self) -> Table:
        table = Table(show_header=False, box=None, pad_edge=False)
        table.add_column(style="bold")
        table.add_column(overflow="fold")
        for name, text in self._lines():
            table.add_row(name, text)
        return table

    def _activations(self) -> list[tuple[str, str]]:
        """Say how tanh and logistic are computed, and what error remains."""
        refined = self.activations.count("refined")
        if refined:
            return [
                (
                    "activation",
                    f"refined: {3 * refined} tasks for errors of 7e-4 at most; plain errs by 5e-3",
                )
            ]
        halves = self.activations.count(HALF)
        if halves:
            return [
                (
                    "activation",
                    f"halves: {2 * halves} tasks and {CHANNELS} channels a unit for errors of 3e-4 at most",
                )
            ]
        plain = sorted({"tanh", "logistic"} & set(self.activations))
        if plain:
            return [("activation", f"plain: the NPU's table of {' and '.join(plain)} errs by up to 5e-3")]
        return []

    def _lines(self) -> list[tuple[str, str]]:
        placement, check = self.placement, self.check
        lines = [
            (
                "model",
                f"{self.estimator}, {'-'.join(map(str, self.widths))}, {self.head} on the "
                + ("NPU" if self.head_on_npu else "host")
                + ("" if self.form == "conv" else f", as {self.form}"),
            ),
            ("file", ", ".join(f"{name} ({size / 1000:.1f} kB)" for name, size in self.files.items())),
            ("rows per run", ", ".join(map(str, self.samples))),
            (
                "precision",
                self.precision
                + (", each value as two numbers," if self.accuracy == "double" else "")
                + f" for {self.target_platform}",
            ),
            *self._activations(),
            (
                "toolkit",
                f"{self.toolkit['version']} in a {self.toolkit['environment']} (model format "
                f"{self.toolkit['model_format']}; needs librknnrt {self.toolkit['oldest_runtime']} or newer)",
            ),
            (
                "layers",
                f"placement not known: {placement['unknown']}"
                if "unknown" in placement
                else f"{placement['npu']} on the NPU, {placement['cpu']} on the CPU",
            ),
        ]
        known = [
            each for each in self.ranges if "bearable" in each or None not in (each["low"], each["high"])
        ]
        lines += [("ranges" if i == 0 else "", describe_range(each)) for i, each in enumerate(known)]
        if "off" in check:
            return [
                *lines,
                ("check", "off: what the file computes was not looked at"),
                ("time", f"{self.seconds:.2f} s"),
            ]
        rows = {
            "check_input": "rows of check_input",
            "held_out": "rows held out of example_input",
            "example_input": "rows of example_input, which the file was built from",
            "random": "rows of random input (give example_input for a real check)",
        }[check["input"]]
        lines.append(("check", f"{check['rows']} {rows}"))
        for stage, title in STAGES.items():
            if stage in check:
                lines.append((f"  {title}", describe(check[stage], counted=is_counted(check))))
        if "bound" in check:
            lines.append(("  bound", _bound(check["bound"])))
        lines.append(("time", f"{self.seconds:.2f} s"))
        return lines


def _bound(bound: float | None) -> str:
    if bound is None:
        return "none: numbers of some rows may leave float16"
    return f"outputs within {bound:.1e}, derived from the arithmetic"


def describe_range(span: Mapping[str, Any]) -> str:
    """Put what is known of one tensor into words."""
    low, high = span["low"], span["high"]
    name = f"{span['tensor']}, {span['width']} wide"
    if "bearable" in span:
        return (
            f"{name}: not known without example_input; nothing can leave float16 up to {span['bearable']:.2g}"
        )
    return f"{name}: {low:.3g} to {high:.3g}" + (f" ({span['from']})" if span["from"] else "")


def describe(found: Mapping[str, Any], *, counted: bool = True) -> str:
    """Put one comparison into words; without a share of labels and R2 where there are too few rows."""
    if "unavailable" in found:
        return f"not run: {found['unavailable']}"
    parts = []
    if "labels" in found and counted:
        parts.append(f"{100 * found['labels']:.2f} % of labels equal")
    if "max_probability_error" in found and counted:
        parts.append(f"probabilities within {found['max_probability_error']:.1e}")
    if "r2" in found and counted:
        parts.append(f"R2 {found['r2']:.6f}")
    share = f" ({100 * found['bound_share']:.0f} % of their bound)" if "bound_share" in found else ""
    parts.append(f"outputs within {found['max_error']:.1e}{share}")
    return ", ".join(parts)
