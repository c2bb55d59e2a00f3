"""pytest's part in the device suite: options, items, the run's folder, the end.

``rknn-harness run`` loads it (`rknn_harness.suite.invocation`). With pytest-xdist the first process settles
the plan and makes the folder; the workers read both there.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from rknn_harness.boards.boards_file import Board, no_board, read_boards
from rknn_harness.boards.same_board_check import check_boards_differ
from rknn_harness.conversions.scheduler import Scheduler, SchedulerSettings
from rknn_harness.errors import HarnessError, RunFolderError
from rknn_harness.models.family import chosen_families
from rknn_harness.models.own_model import kept_documents, own_cases
from rknn_harness.plan.corpus import corpus_cases
from rknn_harness.plan.drawing import Draw
from rknn_harness.plan.expectation_updates import update_expectations
from rknn_harness.plan.expectations import Expectation, read_expectations
from rknn_harness.plan.plan import groups, known_ids, make_plan
from rknn_harness.plan.second_builds import draw_second_builds
from rknn_harness.records.case_result import CaseResult, results_code
from rknn_harness.records.entry import Entry
from rknn_harness.records.outcomes import ExitCode
from rknn_harness.records.run_folder import RunFolder, manifest, new_folder, read_run
from rknn_harness.report.views import write_views
from rknn_harness.suite.run_options import RunOptions
from rknn_harness.suite.suite import Suite, SuiteOptions
from rknn_harness.suite.terminal import RunScreen, screen_of
from sklearn2rknn import OptionError
from sklearn2rknn.toolkit.environment_choice import parse_choice
from sklearn2rknn.toolkit.pins.versions import toolkit_version, toolkit_versions
from sklearn2rknn.toolkit.pins.wheel import is_supplied

_BOARDS = pytest.StashKey[Mapping[str, Board]]()
_PLAN = pytest.StashKey[tuple[Entry, ...]]()
_FOLDER = pytest.StashKey[RunFolder]()

_SENT = ("run_dir", "wait", "trust_pickle", "store", "scheduler", "tls_ca", "tls_cert", "tls_key")
"""Options that pytest-xdist's workers need beside those that are kept."""

_OF_ONE_PROCESS = ("own", "resume", "all_rows", "update_expectations")
_KEPT = (
    *(each.name for each in attrs.fields(RunOptions) if each.name not in (*_SENT, *_OF_ONE_PROCESS)),
    "keyword",
)
"""Options that a resumed run takes from the one that broke."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the one option that carries all of the suite's."""
    parser.addoption("--rknn", default="{}", help="RunOptions as JSON, from rknn-harness run")


def pytest_configure(config: pytest.Config) -> None:
    """Settle what was left open, so that the manifest and the header can record it."""
    option = config.option
    vars(option).update(attrs.asdict(RunOptions.from_json(option.rknn)))
    if _is_worker(config):
        vars(option).update(getattr(config, "workerinput")["rknn"])  # noqa: B009
    try:
        if option.resume and not _is_worker(config):
            kept = read_run(Path(option.resume)).manifest.get("options")
            if not kept:
                raise RunFolderError(f"{option.resume} cannot be resumed: its manifest has no options.")
            vars(option).update(kept)
        option.toolkit, option.not_run = available_toolkits(option.toolkit)
        for name in ("board", "toolkit", "precision", "family"):
            setattr(option, name, list(dict.fromkeys(getattr(option, name))))
        if option.seed is None:
            option.seed = secrets.randbelow(2**31)
        versions = [parse_choice(choice)[0] for choice in option.toolkit]
        # A case may be tried again from another folder.
        option.boards = str(Path(option.boards).expanduser().absolute()) if option.boards else None
        chosen_families(option.family)
        if option.baseline and not _is_worker(config):
            read_run(Path(option.baseline))
        file = Path(option.boards) if option.boards else None
        boards = read_boards(file)
    except (HarnessError, OptionError) as error:
        raise pytest.UsageError(str(error)) from error
    if len(set(versions)) < len(versions):
        raise pytest.UsageError(f"A toolkit is named twice: {', '.join(option.toolkit)}.")
    for name in option.board:
        if name not in boards:
            raise pytest.UsageError(no_board(name, boards, file))
    config.stash[_BOARDS] = {name: boards[name] for name in option.board}
    if not _is_worker(config) and not option.collectonly and not option.help:
        screen = RunScreen(config)
        config.pluginmanager.register(screen, "rknn-screen")
        screen.show_header(config.stash[_BOARDS])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Send pytest-xdist's workers the settled options; they read the command line."""
    option = node.config.option
    node.workerinput["rknn"] = {name: getattr(option, name) for name in (*_KEPT, *_SENT)}


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Make the run's folder, or open it; before pytest-xdist starts its workers."""
    config, option = session.config, session.config.option
    try:
        if _is_worker(config):
            folder = RunFolder(Path(option.run_dir))
        else:
            if not option.collectonly:
                check_boards_differ(config.stash[_BOARDS])
                _check_scheduler(option)
            if option.resume:
                folder = RunFolder.resume(Path(option.resume))
            else:
                plan, skipped = _make_plan(option)
                config.stash[_PLAN] = plan
                if option.collectonly:
                    return
                folder = _begin_run(config, plan, skipped)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error
    option.run_dir = str(folder.path)
    config.stash[_FOLDER] = folder
    config.stash[_PLAN] = folder.plan()
    screen = screen_of(config)
    if screen is not None:
        screen.show_plan(folder, config.stash[_BOARDS])


def _check_scheduler(option: Any) -> None:
    settings = _scheduler_settings(option)
    if settings is not None:
        Scheduler(settings, list(_toolkit_choices(option))).close()


def _scheduler_settings(option: Any) -> SchedulerSettings | None:
    if option.scheduler is None:
        return None
    return SchedulerSettings(option.scheduler, option.tls_ca, option.tls_cert, option.tls_key)


def _make_plan(option: Any) -> tuple[tuple[Entry, ...], list[dict[str, str]]]:
    """Return the entries to try, and those to skip with the reason."""
    toolkits = _toolkit_choices(option)
    corpus = [] if option.only_own else list(corpus_cases(Path(option.corpus)))
    own = own_cases(Path(option.own), option.precision) if option.own else []
    draw = _draw(option)
    plan = make_plan(
        toolkits=list(toolkits),
        boards=option.board,
        draw=None if option.only_own else draw,
        corpus=corpus,
        own=own,
    )
    ids = known_ids(draw, [*corpus, *own])
    rules = read_expectations(Path(option.expectations), option.board, toolkits, ids)
    tried, skipped = without_skipped(plan, rules)
    if option.guard == "on":  # without it no file is built a second time
        tried = draw_second_builds(tried, option.seed, option.second_builds)
    return tried, skipped


def without_skipped(
    plan: tuple[Entry, ...], rules: Sequence[Expectation]
) -> tuple[tuple[Entry, ...], list[dict[str, str]]]:
    """Return a plan without what is to be skipped, and that with the reasons."""
    tried, skipped = [], []
    for entry in plan:
        name, toolkit, board = entry.key
        reasons = [
            rule.reason
            for rule in rules
            if rule.kind == "skip" and (rule.toolkit, rule.board) == (toolkit, board) and rule.names(name)
        ]
        if reasons:
            skipped.append({"id": name, "toolkit": toolkit, "board": board, "reason": reasons[0]})
        else:
            tried.append(entry)
    return tuple(tried), skipped


def _begin_run(config: pytest.Config, plan: tuple[Entry, ...], skipped: list[dict[str, str]]) -> RunFolder:
    option = config.option
    boards = config.stash[_BOARDS].items()
    document = manifest(
        toolkits=[{"version": version} for version in _toolkit_choices(option)],
        boards={name: {"virtual": board.virtual, "device": board.device} for name, board in boards},
        precisions=option.precision,
        seed=option.seed,
    )
    document |= {
        "options": {name: getattr(option, name) for name in _KEPT},
        "skipped": skipped,
        "not_run": option.not_run,
    }
    if option.own:
        document["own"] = kept_documents(Path(option.own))
    path = Path(option.run_dir) if option.run_dir else new_folder(Path("runs"))
    own_folder = Path(option.own) if option.own else None
    return RunFolder.begin(path, document, plan, Path(option.corpus), own_folder)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give workers portions of the plan: one case's tests, or one real board's."""
    from xdist.scheduler import LoadScopeScheduling  # xdist is a plugin that need not be loaded

    plan = config.stash[_PLAN]
    # Of a board that is made for each use, each worker has its own.
    alone = [name for name, board in config.stash[_BOARDS].items() if not board.made_for_each_use]
    group = groups(plan, alone)
    portion = {entry.name: group[entry.key] for entry in plan}

    class Portions(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            # test_outcome[ENTRY], test_property[ENTRY-NAME]; no property has a hyphen in its name.
            name = nodeid.partition("[")[2].removesuffix("]")
            return portion.get(name) or portion[name.rpartition("-")[0]]

    return Portions(config, log)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that asks for a result one of every entry of the plan."""
    if "result" in metafunc.fixturenames:
        plan = metafunc.config.stash[_PLAN]
        metafunc.parametrize("result", plan, indirect=True, ids=[entry.name for entry in plan])


@pytest.fixture(scope="session")
def suite(request: pytest.FixtureRequest, pytestconfig: pytest.Config) -> Iterator[Suite]:
    """Open the part of the run that this process does."""
    items: list[Any] = request.session.items
    chosen = dict.fromkeys(item.callspec.params["result"] for item in items)
    with _suite(pytestconfig) as run:
        run.start(list(chosen), _worker(pytestconfig))
        yield run


def _suite(config: pytest.Config) -> Suite:
    folder, option = config.stash[_FOLDER], config.option
    toolkits = _toolkit_choices(option)
    before = read_run(Path(option.baseline)).results if option.baseline else ()
    ids = known_ids(_draw(option), [entry.case for entry in folder.plan()])
    options = SuiteOptions(
        expectations=read_expectations(Path(option.expectations), option.board, toolkits, ids),
        baseline={result.key: result for result in before},
        logs=folder.path / "logs" / _worker(config),
        wait=option.wait,
        trust_pickle=option.trust_pickle,
        store=Path(option.store) if option.store else None,
        scheduler=_scheduler_settings(option),
    )
    return Suite(folder, config.stash[_BOARDS], toolkits, options)


@pytest.fixture
def result(suite: Suite, request: pytest.FixtureRequest) -> CaseResult:
    """Return what came of one entry of the plan; it is tried when its first test asks."""
    entry: Entry = request.param
    try:
        return suite.result(entry)
    except OSError as error:  # the record cannot be written, and no other case could be recorded
        request.session.shouldstop = str(error)
        raise


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Turn the outcomes into the exit code, see `ExitCode`."""
    config = session.config
    if _is_worker(config):
        return
    if exitstatus in (pytest.ExitCode.USAGE_ERROR, pytest.ExitCode.NO_TESTS_COLLECTED):
        session.exitstatus = ExitCode.USAGE
    folder = config.stash.get(_FOLDER, None)
    if folder is None:
        return
    # By now the fixtures are closed, the workers ended, and the record is complete.
    screen = screen_of(config)
    if screen is not None and screen.errors:
        exitstatus = pytest.ExitCode.INTERNAL_ERROR
    try:
        if exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            _complete(config, folder)
        write_views(folder.path)
    except OSError as error:  # the disk is full, say
        exitstatus = pytest.ExitCode.INTERNAL_ERROR
        if screen is not None:
            screen.errors[f"The run's folder cannot be written: {error.strerror}."] = None
    code = results_code(read_run(folder.path).results)
    if exitstatus in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.INTERNAL_ERROR):
        session.exitstatus = ExitCode.INFRASTRUCTURE
    elif code is ExitCode.INFRASTRUCTURE or exitstatus == pytest.ExitCode.OK:
        session.exitstatus = code
    if not config.pluginmanager.hasplugin("terminalreporter"):
        _end_screen(config)


def _complete(config: pytest.Config, folder: RunFolder) -> None:
    """Do what follows the last case of a run that came to its end."""
    results, screen = read_run(folder.path).results, screen_of(config)
    if results_code(results) is ExitCode.CONFORMANCE:
        if screen is not None and any(each.is_failure and each.case.is_drawn for each in results):
            screen.say("making failing models smaller")
        with _suite(config) as suite:
            suite.make_smaller(_draw(config.option), Path(config.option.corpus))
    if config.option.update_expectations:
        _update_expectations(config, folder)
    folder.finish()


def _update_expectations(config: pytest.Config, folder: RunFolder) -> None:
    lists, corpus = Path(config.option.expectations), Path(config.option.corpus)
    updates = update_expectations(lists, read_run(folder.path).results, corpus, f"run {folder.path.name}")
    screen = screen_of(config)
    if screen is not None:
        screen.note(updates)


def pytest_terminal_summary(config: pytest.Config) -> None:
    """Print the end of the run after pytest's own, where that is shown."""
    _end_screen(config)


def pytest_unconfigure(config: pytest.Config) -> None:
    """Take the live line away and let others write to the run, however it ended."""
    screen, folder = screen_of(config), config.stash.get(_FOLDER, None)
    if screen is not None:
        screen.close()
    if folder is not None:
        folder.close()


def _end_screen(config: pytest.Config) -> None:
    screen, folder = screen_of(config), config.stash.get(_FOLDER, None)
    if screen is not None and folder is not None:
        screen.end(folder.path, folder.plan())


def _draw(option: Any) -> Draw:
    return Draw(
        tuple(option.precision),
        0 if option.only_own else option.max_cases,
        option.seed,
        option.guard == "on",
        option.examples,
        families=chosen_families(option.family),
        family_count=option.family_cases if option.family and not option.only_own else 0,
        is_sample=not option.family,
    )


def available_toolkits(choices: Sequence[str]) -> tuple[list[str], list[dict[str, str]]]:
    """Put the table's toolkits in place of ``all``, oldest first; return those that cannot be run apart."""
    if "all" not in choices:
        return list(choices), []
    supplied = {version: is_supplied(toolkit_version(version)) for version in toolkit_versions()}
    named = [choice for choice in choices if choice != "all"]
    return [*named, *(version for version in supplied if supplied[version])], [
        {"toolkit": version, "reason": "wheel not supplied"} for version in supplied if not supplied[version]
    ]


def _toolkit_choices(option: Any) -> dict[str, str]:
    """Return the choices by version, such as ``2.3.2@container``."""
    return {parse_choice(choice)[0]: choice for choice in option.toolkit}


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _worker(config: pytest.Config) -> str:
    """Return pytest-xdist's name of this process; empty for the first one."""
    return str(getattr(config, "workerinput", {}).get("workerid", ""))
