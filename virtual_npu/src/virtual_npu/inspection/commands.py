"""The command line: ``python3 -m virtual_npu info | disasm | run | diff``."""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import io
import json
import os
import secrets
import sys
import tokenize
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import virtual_npu
from virtual_npu import evidence
from virtual_npu.arrays import Array
from virtual_npu.errors import InputError, UnsupportedFormat, UnsupportedProgram, VirtualNpuError
from virtual_npu.execute.arithmetic import ARITHMETICS
from virtual_npu.execute.virtual_npu import VirtualNpu
from virtual_npu.inspection.content_digest import content_digest
from virtual_npu.inspection.differences import differences
from virtual_npu.inspection.disassembly import disassemble
from virtual_npu.inspection.lookup_choices import lookup_choices
from virtual_npu.inspection.time_estimate import estimate
from virtual_npu.program.field_widths import over_wide_fields
from virtual_npu.program.rules_followed import rules_followed
from virtual_npu.rknn_file.model_file import RknnFile, Tensor, placement
from virtual_npu.rknn_file.reader import read, read_graph

_EPILOG = """\
examples:
  python3 -m virtual_npu info model.rknn            what the file holds and where each layer runs
  python3 -m virtual_npu info --json model.rknn     the same, for programs
  python3 -m virtual_npu disasm model.rknn | less   the register program with register names
  python3 -m virtual_npu run model.rknn x.npy y.npy
                                                   run it: float32 in the model's shape in and out,
                                                   quantized and dequantized inside
  python3 -m virtual_npu diff a.rknn b.rknn         what two toolkits made of one model

exit codes: 0 done, 1 the file cannot be read or run, 2 usage
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader of our output has seen enough
        _drop_output()
    except (VirtualNpuError, OSError) as error:
        if isinstance(error, OSError) and error.filename is None:
            _drop_output()
        print(f"virtual_npu: {_printable(str(error))}", file=sys.stderr)
        return 1
    return 0


def _drop_output() -> None:
    """Let standard output lead nowhere once it takes no more, or Python would complain at its end."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _printable(text: str) -> str:
    """Return a file's text without control and format characters, which a terminal would obey."""
    return "".join(c if c.isprintable() or c in "\n\t" else "\ufffd" for c in text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m virtual_npu",
        description="Read a .rknn file (format 6) and execute its register program, without an NPU.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"virtual-npu {virtual_npu.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    command = functools.partial(_add_command, commands)
    command("info", _info, "show what a file holds and where each layer runs").add_argument(
        "--json", action="store_true", help="print JSON"
    )
    command("disasm", _disasm, "print the register program with register names")
    run = command("run", _run, "run the model on one input")
    run.add_argument("input", metavar="IN.npy", help="numbers in the shape that info shows for the input")
    run.add_argument("output", metavar="OUT.npy", help="where to write the float32 output")
    run.add_argument(
        "--arithmetic",
        choices=ARITHMETICS,
        default="silicon",
        help="silicon's as measured (default), the vendor's simulator's, or silicon's with faster sums",
    )
    run.add_argument("--sums", choices=("exact", "simulator", "fast"), help=argparse.SUPPRESS)
    diff = command("diff", _diff, "show what differs between two files")
    diff.add_argument("first", metavar="A.rknn")
    diff.add_argument("second", metavar="B.rknn")
    return parser


def _add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str
) -> argparse.ArgumentParser:
    added: argparse.ArgumentParser = commands.add_parser(
        name,
        help=text,
        description=f"{text[0].upper()}{text[1:]}.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    added.set_defaults(command=run)
    if run is not _diff:
        added.add_argument("file", metavar="FILE.rknn")
    if run in (_disasm, _run):
        help_of_cores = "which of the file's programs (default 1)"
        added.add_argument("--cores", type=int, choices=(1, 2, 3), default=1, help=help_of_cores)
    return added


def _info(options: argparse.Namespace) -> None:
    try:
        summary = _summary(read(options.file))
    except UnsupportedFormat as error:
        if error.version < 2:
            raise
        summary = _graph_summary(read_graph(options.file), error.lacks)
    print(json.dumps(summary, indent=2) if options.json else _printable(_table(summary)))


def _disasm(options: argparse.Namespace) -> None:
    for line in disassemble(read(options.file), options.cores):
        print(_printable(line))


def _run(options: argparse.Namespace) -> None:
    file = read(options.file)
    npu = VirtualNpu(file, options.cores, arithmetic=options.arithmetic, sums=options.sums)
    try:
        x = np.lib.format.open_memmap(options.input, mode="r")
    except (OverflowError, TypeError, ValueError, tokenize.TokenError) as error:  # the header is evaluated
        raise InputError(f"{options.input} is no .npy file of numbers") from error
    _write(Path(options.output), npu.run(x))
    if options.arithmetic == "silicon":
        print(_rules(file, options.cores))
        for name, apart in lookup_choices(npu, x, x.size).items():
            print(f"lookups read otherwise, {name}: outputs differ by up to {apart:.2g}")


def _write(target: Path, values: Array) -> None:
    """Write a complete .npy file or none.

    What is no regular file is written into, not replaced.
    """
    content = io.BytesIO()
    np.save(content, values, allow_pickle=False)
    if target.exists() and not target.is_file():
        target.write_bytes(content.getvalue())
        return
    target = target.resolve()  # the target of a link is replaced, and the link stays
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as stream:
            if target.exists():
                os.fchmod(stream.fileno(), target.stat().st_mode & 0o7777)
            stream.write(content.getvalue())
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _diff(options: argparse.Namespace) -> None:
    lines = list(differences(read(options.first), read(options.second)))
    print(_printable("\n".join(lines or ["no difference"])))


def _summary(file: RknnFile) -> dict[str, Any]:
    cost = estimate(file)
    where = {name: place for name, _, place in placement(file)}
    return {
        "format": file.format_version,
        "compiler": file.compiler,
        "target_platform": file.target_platform,
        "custom_string": file.custom_string,
        "content_digest": content_digest(file),
        "inputs": [_tensor(t) for t in file.inputs],
        "outputs": [_tensor(t) for t in file.outputs],
        "tasks": {str(cores): [len(core) for core in file.tasks(cores)] for cores in (1, 2, 3)},
        "internal_memory_bytes": file.internal_memory,
        "rules": _rules(file),
        "over_wide_fields": [str(field) for field in over_wide_fields(file)],
        "layers": [
            {
                "name": layer.name,
                "type": layer.type,
                "placement": where.get(layer.name, layer.placement),
                "multiply_adds": layer.multiply_adds,
                "bytes": layer.moved_bytes,
                "tasks": layer.tasks,
                "estimated_seconds": list(layer.seconds),
                "estimated_parts": dataclasses.asdict(layer.parts),
            }
            for layer in cost.layers
        ],
        "estimated_seconds": list(cost.seconds),
        "estimated_npu_seconds": list(cost.npu_seconds),
        "estimated_parts": dataclasses.asdict(cost.parts),
        "estimated_cpu_seconds": list(cost.cpu_seconds),
    }


def _rules(file: RknnFile, cores: int = 1) -> str:
    """Say how the silicon arithmetic of a file is known; empty where it cannot be executed."""
    try:
        return evidence.sentence(rules_followed(file, cores))
    except UnsupportedProgram:
        return ""


def _graph_summary(file: RknnFile, lacks: str) -> dict[str, Any]:
    """Summarize a file of an older format: its graph, and what it lacks."""
    keys = ("format", "compiler", "target_platform", "custom_string", "inputs", "outputs")
    summary = _summary(file)
    return {
        **{key: summary[key] for key in keys},
        "lacks": lacks,
        "layers": [{"name": name, "type": kind, "placement": where} for name, kind, where in placement(file)],
    }


def _tensor(tensor: Tensor) -> dict[str, Any]:
    names = ("name", "dtype", "shape", "native_shape", "scale", "zero_point")
    return {name: getattr(tensor, name) for name in names}


def _table(summary: dict[str, Any]) -> str:
    is_graph = "lacks" in summary
    lines = [
        f"format     {summary['format']}, {summary['target_platform']}, {summary['compiler']}",
        f"lacks      {summary['lacks']}; shown by its graph"
        if is_graph
        else f"digest     {summary['content_digest']}",
        *([f"custom     {summary['custom_string']}"] if summary["custom_string"] else []),
    ]
    for kind in ("inputs", "outputs"):
        for tensor in summary[kind]:
            scale = "" if tensor["scale"] is None else f", scale {tensor['scale']:.6g}"
            zero = "" if tensor["zero_point"] is None else f", zero point {tensor['zero_point']}"
            lines.append(f"{kind[:-1]:10} {tensor['name']} {tensor['dtype']} {tensor['shape']}{scale}{zero}")
    if is_graph:
        layers = [f"{layer['name']}  {layer['type']}  {layer['placement']}" for layer in summary["layers"]]
        return "\n".join([*lines, "", *layers])
    lines += [f"too wide   {text}" for text in summary["over_wide_fields"]]
    if summary["rules"]:
        lines.append(f"rules      {summary['rules']}")
    lines.append(f"tasks      {', '.join(f'{n} core: {t}' for n, t in summary['tasks'].items())}")
    width = max((len(layer["name"]) for layer in summary["layers"]), default=5)
    lines += [
        "",
        f"{'layer':{width}}  {'type':14} {'on':4} {'tasks':>5} {'MACs':>12} {'bytes':>11}  estimate, us",
    ]
    for layer in summary["layers"]:
        low, high = (1e6 * s for s in layer["estimated_seconds"])
        lines.append(
            f"{layer['name']:{width}}  {layer['type']:14} {layer['placement']:4} {layer['tasks']:5} "
            f"{layer['multiply_adds']:12,} {layer['bytes']:11,}  {low:.0f} to {high:.0f}"
        )
    return "\n".join([*lines, "", *_times(summary)])


def _times(summary: dict[str, Any]) -> list[str]:
    def milliseconds(name: str) -> str:
        low, high = (1e3 * seconds for seconds in summary[f"estimated_{name}"])
        return f"{low:.2f} to {high:.2f} ms"

    parts = [f"{name} {1e3 * seconds:.3f}" for name, seconds in summary["estimated_parts"].items()]
    return [
        f"one call on one core: {milliseconds('seconds')}, of which the NPU {milliseconds('npu_seconds')}",
        f"its parts, ms: {', '.join(parts)}",
        f"the same on one A76 core in numpy: {milliseconds('cpu_seconds')}",
        "All are an estimate for an RK3588 from times that others published, not measured.",
    ]
