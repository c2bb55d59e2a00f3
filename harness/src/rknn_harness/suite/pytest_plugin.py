"""pytest's part in the device suite: options, items, the run's folder, the end.

``rknn-harness run`` loads it (`rknn_harness.suite.invocation`). With pytest-xdist the first process settles
the plan and makes the folder; the workers read both there.
"""

from __future__ import annotations

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
from rknn_harness.suite.suite import Suite, SuiteOptions, read_baseline
from rknn_harness.suite.terminal import RunScreen, screen_of
from sklearn2rknn import OptionError
from sklearn2rknn.toolkit.environment_choice import parse_choice
from sklearn2rknn.toolkit.pins.versions import toolkit_version, toolkit_versions
from sklearn2rknn.toolkit.pins.wheel import is_supplied

_OPTIONS = pytest.StashKey[RunOptions]()
_NOT_RUN = pytest.StashKey[list[dict[str, str]]]()
_BOARDS = pytest.StashKey[Mapping[str, Board]]()
_PLAN = pytest.StashKey[tuple[Entry, ...]]()
_FOLDER = pytest.StashKey[RunFolder]()

_CHOSEN_ANEW = (
    *("own", "run_dir", "resume", "wait", "trust_pickle", "all_rows", "update_expectations"),
    *("store", "scheduler", "tls_ca", "tls_cert", "tls_key"),
)
_KEPT = tuple(each.name for each in attrs.fields(RunOptions) if each.name not in _CHOSEN_ANEW)
"""Options that a resumed run takes from the one that broke."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the one option that carries all of the suite's."""
    parser.addoption("--rknn", default="{}", help="RunOptions as JSON, from rknn-harness run")


def pytest_configure(config: pytest.Config) -> None:
    """Settle what was left open, so that the manifest and the header can record it."""
    try:
        if _is_worker(config):
            options = RunOptions.from_json(getattr(config, "workerinput")["rknn"])  # noqa: B009
        else:
            options, config.stash[_NOT_RUN] = _settle(RunOptions.from_json(config.option.rknn))
        file = Path(options.boards) if options.boards else None
        boards = read_boards(file)
    except (HarnessError, OptionError) as error:
        raise pytest.UsageError(str(error)) from error
    if len(_toolkit_choices(options)) < len(options.toolkit):
        raise pytest.UsageError(f"A toolkit is named twice: {', '.join(options.toolkit)}.")
    for name in options.board:
        if name not in boards:
            raise pytest.UsageError(no_board(name, boards, file))
    config.stash[_OPTIONS] = options
    config.stash[_BOARDS] = {name: boards[name] for name in options.board}
    config.option.keyword = options.keyword
    if not _is_worker(config) and not config.option.collectonly and not config.option.help:
        screen = RunScreen(config, options)
        config.pluginmanager.register(screen, "rknn-screen")
        screen.show_header(config.stash[_BOARDS])


def _settle(options: RunOptions) -> tuple[RunOptions, list[dict[str, str]]]:
    """Return options with nothing left open, and the toolkits that cannot be run."""
    if options.resume:
        kept = read_run(Path(options.resume)).manifest.get("options")
        if not kept:
            raise RunFolderError(f"{options.resume} cannot be resumed: its manifest has no options.")
        # No others: a scheduler's answers are unpickled, and a pickle that is trusted is too.
        options = attrs.evolve(options, **{name: kept[name] for name in _KEPT if name in kept})
    toolkits, not_run = available_toolkits(options.toolkit)
    settled = attrs.evolve(
        options,
        board=_distinct(options.board),
        toolkit=_distinct(toolkits),
        precision=_distinct(options.precision),
        family=_distinct(options.family),
        # A case may be tried again from another folder.
        boards=str(Path(options.boards).expanduser().absolute()) if options.boards else None,
    )
    _toolkit_choices(settled)
    chosen_families(settled.family)
    return settled, not_run


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Send pytest-xdist's workers the settled options."""
    node.workerinput["rknn"] = node.config.stash[_OPTIONS].to_json()


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Make the run's folder, or open it; before pytest-xdist starts its workers."""
    config, options = session.config, session.config.stash[_OPTIONS]
    try:
        if _is_worker(config):
            folder = RunFolder(Path(str(options.run_dir)))
        else:
            if not config.option.collectonly:
                check_boards_differ(config.stash[_BOARDS])
                _check_scheduler(options)
            if options.resume:
                folder = RunFolder.resume(Path(options.resume))
                read_baseline(options.baseline, folder.plan())
            else:
                plan, skipped = _make_plan(options)
                read_baseline(options.baseline, plan)
                config.stash[_PLAN] = plan
                if config.option.collectonly:
                    return
                folder = _begin_run(config, plan, skipped)
    except HarnessError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[_OPTIONS] = attrs.evolve(options, run_dir=str(folder.path))
    config.stash[_FOLDER] = folder
    config.stash[_PLAN] = folder.plan()
    screen = screen_of(config)
    if screen is not None:
        screen.show_plan(folder, config.stash[_BOARDS])


def _check_scheduler(options: RunOptions) -> None:
    settings = _scheduler_settings(options)
    if settings is not None:
        Scheduler(settings, list(_toolkit_choices(options))).close()


def _scheduler_settings(options: RunOptions) -> SchedulerSettings | None:
    if options.scheduler is None:
        return None
    return SchedulerSettings(options.scheduler, options.tls_ca, options.tls_cert, options.tls_key)


def _make_plan(options: RunOptions) -> tuple[tuple[Entry, ...], list[dict[str, str]]]:
    """Return the entries to try, and those to skip with the reason."""
    toolkits = _toolkit_choices(options)
    corpus = [] if options.only_own else list(corpus_cases(Path(options.corpus)))
    own = own_cases(Path(options.own), options.precision) if options.own else []
    draw = _draw(options)
    plan = make_plan(
        toolkits=list(toolkits),
        boards=options.board,
        draw=None if options.only_own else draw,
        corpus=corpus,
        own=own,
    )
    ids = known_ids(draw, [*corpus, *own])
    rules = read_expectations(Path(options.expectations), options.board, toolkits, ids)
    tried, skipped = without_skipped(plan, rules)
    if options.guard == "on":  # without it no file is built a second time
        tried = draw_second_builds(tried, options.seed, options.second_builds)
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
    options = config.stash[_OPTIONS]
    boards = config.stash[_BOARDS].items()
    document = manifest(
        toolkits=[{"version": version} for version in _toolkit_choices(options)],
        boards={name: {"virtual": board.virtual, "device": board.device} for name, board in boards},
        precisions=options.precision,
        seed=options.seed,
    )
    document |= {
        "options": {name: getattr(options, name) for name in _KEPT},
        "skipped": skipped,
        "not_run": config.stash[_NOT_RUN],
    }
    if options.own:
        document["own"] = kept_documents(Path(options.own))
    path = Path(options.run_dir) if options.run_dir else new_folder(Path("runs"))
    own_folder = Path(options.own) if options.own else None
    return RunFolder.begin(path, document, plan, Path(options.corpus), own_folder)


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
    folder, chosen = config.stash[_FOLDER], config.stash[_OPTIONS]
    toolkits = _toolkit_choices(chosen)
    ids = known_ids(_draw(chosen), [entry.case for entry in folder.plan()])
    options = SuiteOptions(
        expectations=read_expectations(Path(chosen.expectations), chosen.board, toolkits, ids),
        baseline=read_baseline(chosen.baseline, folder.plan()),
        logs=folder.path / "logs" / _worker(config),
        wait=chosen.wait,
        trust_pickle=chosen.trust_pickle,
        store=Path(chosen.store) if chosen.store else None,
        scheduler=_scheduler_settings(chosen),
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
    options, results, screen = config.stash[_OPTIONS], read_run(folder.path).results, screen_of(config)
    if results_code(results) is ExitCode.CONFORMANCE:
        if screen is not None and any(each.is_failure and each.case.is_drawn for each in results):
            screen.say("making failing models smaller")
        with _suite(config) as suite:
            suite.make_smaller(_draw(options), Path(options.corpus))
    if options.update_expectations:
        _update_expectations(config, folder)
    folder.finish()


def _update_expectations(config: pytest.Config, folder: RunFolder) -> None:
    options, results = config.stash[_OPTIONS], read_run(folder.path).results
    lists, corpus = Path(options.expectations), Path(options.corpus)
    updates = update_expectations(lists, results, corpus, f"run {folder.path.name}")
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


def _draw(options: RunOptions) -> Draw:
    return Draw(
        options.precision,
        0 if options.only_own else options.max_cases,
        options.seed,
        options.guard == "on",
        options.examples,
        families=chosen_families(options.family),
        family_count=options.family_cases if options.family and not options.only_own else 0,
        is_sample=not options.family,
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


def _toolkit_choices(options: RunOptions) -> dict[str, str]:
    """Return the choices by version, such as ``2.3.2@container``."""
    return {parse_choice(choice)[0]: choice for choice in options.toolkit}


def _is_worker(config: pytest.Config) -> bool:
    return hasattr(config, "workerinput")


def _worker(config: pytest.Config) -> str:
    """Return pytest-xdist's name of this process; empty for the first one."""
    return str(getattr(config, "workerinput", {}).get("workerid", ""))
