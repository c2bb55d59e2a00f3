"""A run's folder gives back what was written, also after the run was killed."""

from __future__ import annotations

import copy
import json
import os
import random
import shutil
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from rknn_harness.commands.cli import main
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import Outcome
from rknn_harness.records.run_folder import FORMAT, RunFolder, RunFolderError, manifest, read_run
from tests.counts import counted
from tests.harness.samples import mixed_results, write_run

FILES_OF_BEFORE = Path(__file__).parents[2] / "files_of_before"


def test_every_result_comes_back(tmp_path: Path) -> None:
    results = mixed_results(4)
    run = write_run(tmp_path / "run", results)
    assert list(run.results) == [attrs_rounded(result) for result in results]
    assert not run.torn


def attrs_rounded(result: CaseResult) -> CaseResult:
    return CaseResult.from_json(json.loads(result.line()))


def test_each_case_is_on_disk_when_it_ends(tmp_path: Path) -> None:
    results = mixed_results(4)
    with RunFolder.begin(tmp_path / "run", {"format": FORMAT, "toolkits": [], "boards": {}}) as folder:
        for count, result in enumerate(results, 1):
            folder.record(result)
            assert len(read_run(folder.path).results) == count


@pytest.mark.parametrize("cut", [1, 40, 400])
def test_a_torn_last_line_is_passed_over(tmp_path: Path, cut: int) -> None:
    results = mixed_results(2)
    path = write_run(tmp_path / "run", results).path
    record = path / "cases.jsonl"
    record.write_bytes(record.read_bytes()[:-cut])
    run = read_run(path)
    assert run.torn
    assert len(run.results) == len(results) - 1


def test_a_damaged_line_in_the_middle_is_told(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", mixed_results(2)).path
    record = path / "cases.jsonl"
    lines = record.read_text().splitlines()
    record.write_text("\n".join([lines[0], lines[1][:50], *lines[2:]]) + "\n")
    with pytest.raises(RunFolderError, match=r"cases\.jsonl, line 2, is damaged"):
        read_run(path)


def test_a_folder_is_not_written_twice(tmp_path: Path) -> None:
    RunFolder.begin(tmp_path / "run", {"format": FORMAT, "toolkits": [], "boards": {}}).close()
    with pytest.raises(RunFolderError, match="is there already, and no empty folder"):
        RunFolder.begin(tmp_path / "run", {"format": FORMAT, "toolkits": [], "boards": {}})
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_who_writes_next_cuts_off_what_a_killed_one_left_torn(tmp_path: Path) -> None:
    results = mixed_results(2)
    path = write_run(tmp_path / "run", results[:3]).path
    with (path / "cases.jsonl").open("a") as file:
        file.write(results[3].line()[:77])
    with RunFolder(path) as folder:
        folder.record(results[4])
    run = read_run(path)
    assert not run.torn
    assert [result.key for result in run.results] == [result.key for result in (*results[:3], results[4])]


def test_lines_of_many_writers_stay_whole(tmp_path: Path) -> None:
    results = mixed_results(20)
    path = write_run(tmp_path / "run", []).path

    def write(part: int) -> None:
        with RunFolder(path) as folder:
            for result in results[part::4]:
                folder.record(result)
                folder.amend(lambda manifest: manifest.update(seed=manifest["seed"] + 1))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    run = read_run(path)
    assert {result.key for result in run.results} == {result.key for result in results}
    assert run.manifest["seed"] == 7 + len(results)


def test_a_resumed_run_keeps_what_is_settled(tmp_path: Path) -> None:
    results = mixed_results(2)
    broken = [result for result in results if result.outcome is Outcome.INFRA_ERROR]
    path = write_run(tmp_path / "run", results).path
    with (path / "cases.jsonl").open("a") as file:
        file.write(results[0].line()[:-9])
    with RunFolder(path) as folder:
        folder.finish()
    assert read_run(path).manifest["finished"]
    RunFolder.resume(path).close()
    run = read_run(path)
    assert run.manifest["finished"] is None
    assert [result.key for result in run.results] == [r.key for r in results if r not in broken]
    assert len((path / "broken.jsonl").read_text().splitlines()) == len(broken) == 1


def test_a_run_does_not_go_on_with_other_versions_than_its_record_names(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", mixed_results(2)).path
    with RunFolder(path) as folder:
        folder.amend(lambda manifest: manifest["versions"].update(numpy="1.0"))
    record = (path / "cases.jsonl").read_bytes()
    with pytest.raises(RunFolderError, match=f"was begun with numpy 1.0, now {np.__version__}. Install"):
        RunFolder.resume(path)
    assert (path / "cases.jsonl").read_bytes() == record
    (path / "cases.jsonl").write_bytes(b"")  # nothing of the record was made with them
    RunFolder.resume(path).close()


def test_no_run(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="is not a run's folder"):
        read_run(tmp_path)


def test_the_manifest_says_what_ran_and_which_boards_are_virtual() -> None:
    def said(**virtual: bool) -> dict[str, Any]:
        boards = {name: {"virtual": each, "device": "npu"} for name, each in virtual.items()}
        return manifest(toolkits=[{"version": "2.3.2"}], boards=boards, precisions=["int8"], seed=3)

    found = said(virtual=True)
    assert found["boards"]["virtual"]["virtual"] is True
    assert "board of this run is virtual" in found["statement"]
    assert (found["seed"], found["precisions"], found["finished"]) == (3, ["int8"], None)
    for name in ("python", "numpy", "scikit-learn", "onnx", "onnxruntime", "rknn-harness"):
        assert found["versions"][name]
    assert "Some boards" in said(virtual=True, orange=False)["statement"]
    assert not said(orange=False)["statement"]
    json.dumps(found, allow_nan=False)


def test_a_run_of_another_format_is_refused(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", []).path
    (path / "manifest.json").write_text(json.dumps({"format": FORMAT + 1}))
    with pytest.raises(RunFolderError, match=f"has format {FORMAT + 1}; .*reads format {FORMAT}. Read it"):
        read_run(path)


def test_a_run_has_one_writer(tmp_path: Path) -> None:
    folder = RunFolder.begin(tmp_path / "run", {"format": FORMAT, "toolkits": [], "boards": {}})
    with pytest.raises(RunFolderError, match=rf"is being written by process {os.getpid()} on"):
        RunFolder.resume(folder.path)
    folder.close()
    RunFolder.resume(folder.path).close()
    assert not (folder.path / "run.lock").exists()


def test_a_killed_writer_holds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "run"
    child = os.fork()
    if not child:
        RunFolder.begin(path, {"format": FORMAT, "toolkits": [], "boards": {}})
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert (path / "run.lock").exists()
    RunFolder.resume(path).close()


ODD: tuple[Any, ...] = (None, "x", "", -1, 0, 10**30, True, [], [[]], {}, {"a": 1}, "\x1b[31m", "\ud800", ...)


def places(value: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the place of every value in a JSON document."""
    yield place
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield from places(part, (*place, key))


def changed(document: Any, place: tuple[Any, ...], value: Any) -> Any:
    """Return a copy with another value at a place, or without it."""
    if not place:
        return None if value is ... else value
    document = copy.deepcopy(document)
    inner = document
    for key in place[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return document


@pytest.mark.parametrize("seed", range(counted(300)))
def test_a_changed_record_is_shown_or_refused_by_name(tmp_path: Path, seed: int) -> None:
    command, draw = ("report", "compare", "trend")[seed % 3], random.Random(seed)
    run = Path(shutil.copytree(FILES_OF_BEFORE / "run", tmp_path / "run"))
    name = draw.choice(["manifest.json", "cases.jsonl", "cases.jsonl"])
    lines = (run / name).read_text().splitlines() if name == "cases.jsonl" else [(run / name).read_text()]
    number = draw.randrange(len(lines))
    document = json.loads(lines[number])
    lines[number] = json.dumps(changed(document, draw.choice(list(places(document))), draw.choice(ODD)))
    (run / name).write_text("".join(f"{line}\n" for line in lines))
    folders = [str(FILES_OF_BEFORE / "run"), str(run)] if command == "compare" else [str(run)]
    answer = CliRunner().invoke(
        main, [command, *folders, *(["--output", str(tmp_path)] * (command != "report"))]
    )
    assert answer.exception is None or isinstance(answer.exception, SystemExit)
    assert answer.exit_code in (0, 1, 3)
    if answer.exit_code == 3:
        assert str(run) in answer.output
