"""The command line: ``python -m virtual_npu info | disasm | run | diff``."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from virtual_npu.errors import InputError, UnsupportedFormat, VirtualNpuError
from virtual_npu.execute.summation import SUMS
from virtual_npu.execute.virtual_npu import VirtualNpu
from virtual_npu.inspection.content_digest import content_digest
from virtual_npu.inspection.differences import differences
from virtual_npu.inspection.disassembly import disassemble
from virtual_npu.inspection.time_estimate import estimate
from virtual_npu.rknn_file.model_file import RknnFile, Tensor, placement
from virtual_npu.rknn_file.reader import read, read_graph

__all__ = ["main"]

_EPILOG = """\
examples:
  python -m virtual_npu info model.rknn            what the file holds and where each layer runs
  python -m virtual_npu info --json model.rknn     the same, for programs
  python -m virtual_npu disasm model.rknn | less   the register program with register names
  python -m virtual_npu run model.rknn x.npy y.npy
                                                   run it: float32 in the model's shape in and out,
                                                   quantized and dequantized inside
  python -m virtual_npu diff a.rknn b.rknn         what two toolkits made of one model

exit codes: 0 done, 1 the file cannot be read or run, 2 usage
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give the exit code."""
    options = _parser().parse_args(arguments)
    try:
        options.command(options)
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (VirtualNpuError, OSError) as error:
        print(f"virtual_npu: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m virtual_npu",
        description="Read a .rknn file (format 6) and execute its register program, without an NPU.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    info = commands.add_parser("info", help="show what a file holds")
    info.add_argument("file", metavar="FILE.rknn")
    info.add_argument("--json", action="store_true", help="print JSON")
    info.set_defaults(command=_info)

    disasm = commands.add_parser("disasm", help="print the register program")
    disasm.add_argument("file", metavar="FILE.rknn")
    _add_cores(disasm)
    disasm.set_defaults(command=_disasm)

    run = commands.add_parser("run", help="run the model on one input")
    run.add_argument("file", metavar="FILE.rknn")
    run.add_argument("input", metavar="IN.npy", help="numbers in the shape that info shows for the input")
    run.add_argument("output", metavar="OUT.npy", help="where to write the float32 output")
    _add_cores(run)
    run.add_argument(
        "--sums",
        choices=SUMS,
        default="exact",
        help="how float16 products are summed: exactly, in the vendor's simulator's order, or as BLAS "
        "likes (default exact)",
    )
    run.set_defaults(command=_run)

    diff = commands.add_parser("diff", help="show what differs between two files")
    diff.add_argument("first", metavar="A.rknn")
    diff.add_argument("second", metavar="B.rknn")
    diff.set_defaults(command=_diff)
    return parser


def _add_cores(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cores", type=int, choices=(1, 2, 3), default=1, help="which of the file's programs (default 1)"
    )


def _info(options: argparse.Namespace) -> None:
    try:
        summary = _summary(read(options.file))
    except UnsupportedFormat as error:
        if error.version < 2:
            raise
        summary = _graph_summary(read_graph(options.file), error.lacks)
    print(json.dumps(summary, indent=2) if options.json else _table(summary))


def _disasm(options: argparse.Namespace) -> None:
    for line in disassemble(read(options.file), options.cores):
        print(line)


def _run(options: argparse.Namespace) -> None:
    npu = VirtualNpu(read(options.file), options.cores, sums=options.sums)
    try:
        x = np.load(options.input, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{options.input} is no .npy file of numbers") from error
    y = npu.run(x)
    target = Path(options.output)
    handle, temporary = tempfile.mkstemp(suffix=".npy", dir=target.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            np.save(stream, y)
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise


def _diff(options: argparse.Namespace) -> None:
    found = False
    for line in differences(read(options.first), read(options.second)):
        found = True
        print(line)
    if not found:
        print("no difference")


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
        "layers": [
            {
                "name": layer.name,
                "type": layer.type,
                "placement": where.get(layer.name, layer.placement),
                "multiply_adds": layer.multiply_adds,
                "bytes": layer.moved_bytes,
                "tasks": layer.tasks,
                "estimated_seconds": list(layer.seconds),
            }
            for layer in cost.layers
        ],
        "estimated_seconds": list(cost.seconds),
    }


def _graph_summary(file: RknnFile, lacks: str) -> dict[str, Any]:
    """Summarize a file of an older format: what its graph tells, and what is not in it."""
    shown = ("format", "compiler", "target_platform", "custom_string", "inputs", "outputs")
    whole = _summary(file)
    return {
        **{key: whole[key] for key in shown},
        "lacks": lacks,
        "layers": [{"name": name, "type": kind, "placement": where} for name, kind, where in placement(file)],
    }


def _tensor(tensor: Tensor) -> dict[str, Any]:
    return {
        "name": tensor.name,
        "dtype": tensor.dtype,
        "shape": list(tensor.shape),
        "native_shape": list(tensor.native_shape),
        "scale": tensor.scale,
        "zero_point": tensor.zero_point,
    }


def _table(summary: dict[str, Any]) -> str:
    lines = [
        f"format     {summary['format']}, {summary['target_platform']}, {summary['compiler']}",
    ]
    if "lacks" in summary:
        lines.append(f"lacks      {summary['lacks']}; shown by its graph")
    else:
        lines.append(f"digest     {summary['content_digest']}")
    if summary["custom_string"]:
        lines.append(f"custom     {summary['custom_string']}")
    for kind in ("inputs", "outputs"):
        for tensor in summary[kind]:
            scale = "" if tensor["scale"] is None else f", scale {tensor['scale']:.6g}"
            zero = "" if tensor["zero_point"] is None else f", zero point {tensor['zero_point']}"
            lines.append(f"{kind[:-1]:10} {tensor['name']} {tensor['dtype']} {tensor['shape']}{scale}{zero}")
    if "lacks" in summary:
        layers = [f"{layer['name']}  {layer['type']}  {layer['placement']}" for layer in summary["layers"]]
        return "\n".join([*lines, "", *layers])
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
    low, high = (1e3 * s for s in summary["estimated_seconds"])
    lines += [
        "",
        f"one run on one core: {low:.2f} to {high:.2f} ms, "
        "an estimate from the RK3588's published rates, not measured",
    ]
    return "\n".join(lines)
