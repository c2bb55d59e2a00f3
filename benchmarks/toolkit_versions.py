"""Convert a common set of models with several toolkits, judge each, and print where the toolkits differ.

Each model goes all the way to the virtual board. Exits with 1 where one fails its check. Run it as
``python -m benchmarks.toolkit_versions``.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path

import attrs
from rich.console import Console
from rich.table import Table
from tests.harness.common_models import common_models

import virtual_npu
from rknn_harness.boards.board_link import BoardLink
from rknn_harness.boards.boards_file import VIRTUAL
from rknn_harness.conformance.run_case import run_case
from rknn_harness.records.case import random_case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.specs.mlp_spec import MlpSpec
from sklearn2rknn import open_toolkit
from sklearn2rknn.toolkit.pins.versions import toolkit_version, toolkit_versions


def main() -> int:
    """Convert, judge and compare."""
    known = [version for version in toolkit_versions() if toolkit_version(version).run]
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--toolkit", nargs="+", default=known, help="VERSION, VERSION@container or VERSION@venv"
    )
    parser.add_argument("--models", type=int, default=30)
    parser.add_argument("--precision", default="float16")
    options = parser.parse_args()
    models = common_models(options.models)
    results: dict[str, list[CaseResult]] = {}
    programs: dict[str, list[Program]] = {}
    with (
        BoardLink(VIRTUAL) as link,
    ):
        for choice in options.toolkit:
            with open_toolkit(choice) as toolkit:
                name = f"{toolkit.version} {toolkit.environment.kind}"
                cases = [random_case(spec, options.precision, toolkit.version, (8,)) for spec in models]
                programs[name] = []
                keep = programs[name].append
                results[name] = [
                    run_case(case, toolkit, link, tamper=lambda path: keep(Program.of(path)))  # noqa: B023
                    for case in cases
                ]
    console = Console(width=None if sys.stdout.isatty() else 150)
    console.print(_differences(models, results, programs))
    failed = False
    for name, found in results.items():
        passed = sum(result.outcome is Outcome.PASS for result in found)
        failed |= passed < len(found)
        console.print(f"{name}: {passed} of {len(found)} {options.precision} models pass")
        for result in found:
            if result.outcome is not Outcome.PASS:
                console.print(f"  {result.case.id}: {result.outcome.value}, {result.reason}", soft_wrap=True)
    return int(failed)


@attrs.frozen
class Program:
    """What of a model file a toolkit decides."""

    size: int
    registers: str

    @classmethod
    def of(cls, path: Path) -> Program:
        """Read a file; nothing of it is changed."""
        registers = virtual_npu.read(path).registers
        return cls(path.stat().st_size, hashlib.sha256(registers.tobytes()).hexdigest())


def _differences(
    models: list[MlpSpec], results: dict[str, list[CaseResult]], programs: dict[str, list[Program]]
) -> Table:
    """One row a model, one column a toolkit."""
    title = "register program (equal letters are equal), layers, size in kB, largest error on the virtual NPU"
    table = Table(title=title, box=None)
    for name in ("model", *results):
        table.add_column(name)
    for index, spec in enumerate(models):
        made = {name: found[index] if index < len(found) else None for name, found in programs.items()}
        letters = list(dict.fromkeys(program.registers for program in made.values() if program))
        cells = []
        for name, found in results.items():
            program, metrics = made[name], found[index].metrics.get(Stage.VIRTUAL_NPU)
            if program is None or metrics is None or metrics.output_error is None:
                cells.append(found[index].outcome.value)
                continue
            letter, layers = "ABCDEFGHI"[letters.index(program.registers)], len(found[index].placement)
            cells.append(f"{letter} {layers} {program.size / 1e3:.0f} {metrics.output_error:.1e}")
        table.add_row(f"{'-'.join(map(str, spec.widths))} {spec.activation} {spec.task}", *cells)
    return table


if __name__ == "__main__":
    sys.exit(main())
