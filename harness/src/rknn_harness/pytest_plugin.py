"""pytest's part in the device suite: options, the run's fixture, the table and the exit code at the end.

``rknn-harness run`` loads it; by hand it is ``pytest -p rknn_harness.pytest_plugin tests/device``.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from rknn_harness.boards import Board, read_boards
from rknn_harness.case import PRECISIONS
from rknn_harness.errors import HarnessError
from rknn_harness.outcomes import ExitCode, Outcome, exit_code
from rknn_harness.report.numbers import summarize
from rknn_harness.run_folder import RunFolder, read_run
from rknn_harness.suite import Suite, open_suite, write_views
from sklearn2rknn import OptionError
from sklearn2rknn.toolkit_choice import parse_choice

_RUN = pytest.StashKey[Path]()
_BOARD = pytest.StashKey[Board]()
_TOOLKIT = "2.3.2"
_CASES = 50


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the suite's options."""
    group = parser.getgroup("rknn", "conformance of models on a Rockchip board")
    group.addoption("--board", default="virtual", help="name of the board (default: virtual)")
    group.addoption("--boards", type=Path, help="file of boards, boards.toml")
    group.addoption("--toolkit", default=_TOOLKIT, help=f"version of rknn-toolkit2 (default: {_TOOLKIT})")
    group.addoption(
        "--precision",
        action="append",
        choices=PRECISIONS,
        help="float16, int8 or int16; may be given more than once (default: float16 and int8)",
    )
    group.addoption("--run-dir", type=Path, help="folder of this run (default: a new one below runs/)")
    group.addoption("--max-cases", type=int, default=_CASES, help=f"random networks (default: {_CASES})")
    group.addoption("--seed", type=int, help="of the random networks (default: drawn, and told)")


def pytest_configure(config: pytest.Config) -> None:
    """Settle what was left open, so that the manifest and the header can tell it."""
    option = config.option
    option.precision = tuple(option.precision or ("float16", "int8"))
    if option.seed is None:
        option.seed = secrets.randbelow(2**31)
    try:
        parse_choice(option.toolkit)
        boards = read_boards(option.boards)
    except (HarnessError, OptionError) as error:
        raise pytest.UsageError(str(error)) from error
    if option.board not in boards:
        raise pytest.UsageError(f"There is no board {option.board!r}; there are {', '.join(boards)}.")
    config.stash[_BOARD] = boards[option.board]


def pytest_report_header(config: pytest.Config) -> str:
    """Tell what is run on what."""
    option = config.option
    return (
        f"rknn: toolkit {option.toolkit}, board {option.board}, {' and '.join(option.precision)}, "
        f"{option.max_cases} random networks, seed {option.seed}"
    )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for it each precision of the run."""
    if "precision" in metafunc.fixturenames:
        metafunc.parametrize("precision", metafunc.config.option.precision)


@pytest.fixture(scope="session")
def suite(pytestconfig: pytest.Config) -> Iterator[Suite]:
    """Open the run for the whole session: its toolkit, its board and its folder."""
    option = pytestconfig.option
    folder = RunFolder(option.run_dir) if option.run_dir else RunFolder.create(Path("runs"))
    pytestconfig.stash[_RUN] = folder.path
    board = pytestconfig.stash[_BOARD]
    with (
        folder,
        open_suite(
            board=board,
            toolkit=option.toolkit,
            folder=folder,
            precisions=option.precision,
            seed=option.seed,
        ) as run,
    ):
        yield run


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turn the outcomes into the exit code: 0 clean, 1 conformance, 2 usage, 3 infrastructure."""
    path = session.config.stash.get(_RUN, None)
    if exitstatus in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = ExitCode.USAGE
    if path is None:
        return
    if not (path / "manifest.json").exists():
        # The run broke before it began; pytest has told why.
        session.exitstatus = ExitCode.INFRASTRUCTURE
        return
    # By now the fixtures are closed and the record is whole.
    write_views(path)
    code = exit_code(result.outcome for result in read_run(path).results)
    if code is ExitCode.INFRASTRUCTURE or exitstatus == pytest.ExitCode.OK:
        session.exitstatus = code


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, and where the report lies."""
    path = config.stash.get(_RUN, None)
    if path is None or not (path / "manifest.json").exists():
        return
    run = read_run(path)
    summary = summarize(run)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("data", "precision", "pass", "labels", "R2", "error / output"):
        table.add_column(name, justify="left" if name in ("data", "precision") else "right")
    for group in summary.groups:
        table.add_row(
            group.name,
            group.precision,
            f"{group.passed} of {group.cases}",
            "" if group.agreement is None else f"{group.agreement:.2%}",
            "" if group.r2 is None else f"{group.r2:.5f}",
            "" if group.relative_error is None else f"{group.relative_error:.1e}",
        )
    console = Console(width=100, force_terminal=terminalreporter.hasmarkup, highlight=False)
    with console.capture() as captured:
        console.print(table)
        for result in summary.failures:
            stage = "" if result.stage is None else f" at {result.stage.value}"
            tries = f" after {result.attempts} attempts" if result.attempts > 1 else ""
            colour = "red" if result.outcome.is_failure else "yellow"
            console.print(
                f"[{colour}]{result.outcome.value}{stage}{tries}[/]: {escape(result.case.id)}: "
                f"{escape(result.reason)}"
            )
    terminalreporter.section("conformance")
    terminalreporter.write(captured.get())
    if run.manifest.get("statement"):
        terminalreporter.write_line(str(run.manifest["statement"]))
    infra = sum(result.outcome is Outcome.INFRA_ERROR for result in run.results)
    terminalreporter.write_line(
        summary.verdict, red=summary.code == 1, green=summary.code == 0, yellow=infra > 0
    )
    terminalreporter.write_line(f"report: {path / 'report.html'}")
