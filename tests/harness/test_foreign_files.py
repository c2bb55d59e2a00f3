"""What anyone may have written is read as data, in bounded time and memory, and names no other file."""

from __future__ import annotations

import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import attrs
import numpy as np
import pytest
import skops.io
from click.testing import CliRunner
from sklearn.preprocessing import StandardScaler

from rknn_harness.board_runner import clocks, frames
from rknn_harness.board_runner.lease import Lease
from rknn_harness.boards.board import Board
from rknn_harness.boards.ssh_settings import _proxy
from rknn_harness.commands.cli import main
from rknn_harness.conversions.packed import PackedConversion
from rknn_harness.conversions.store import ConversionStore
from rknn_harness.errors import FactsFileError, OwnModelError, RunFolderError
from rknn_harness.models.own_model import kept_model
from rknn_harness.plan.corpus import CorpusError, read_case, read_model
from rknn_harness.probe.facts_file import read_facts
from rknn_harness.records.case import Case, own_case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.entry import Entry
from rknn_harness.records.outcomes import Outcome
from rknn_harness.records.run_folder import FORMAT, RunFolder, read_run
from rknn_harness.report.board_facts import BoardFacts, keep_facts, kept_facts
from rknn_harness.screen.header import expected_seconds
from rknn_harness.suite import pytest_plugin
from rknn_harness.suite.run_options import RunOptions
from scirknn.bundle.arrays_file import unpack_arrays
from scirknn.bundle.files import read_bundle
from scirknn.bundle.replacement import _journal
from scirknn.cli.table_files import read_table
from scirknn.errors import BundleError, BundleFormatError, InputError
from scirknn.networks.costs import costs_path, read_costs
from scirknn.text import parse_json
from tests.harness.samples import SPEC

FILES_OF_BEFORE = Path(__file__).parents[1] / "files_of_before"

JSON: dict[str, bytes] = {
    "no JSON": b"{'a': 1}",
    "no UTF-8": b'{"a": "\xff"}',
    "deep lists": b"[" * 100_000 + b"]" * 100_000,
    "lists beyond what is copied": b'{"a": ' + b"[" * 40 + b"]" * 40 + b"}",
    "a million empty lists": b'{"a": [' + b"[]," * 1_000_000 + b"[]]}",
    "an integer of 5,000 digits": b'{"a": ' + b"9" * 5000 + b"}",
    "an integer beyond float64": b'{"a": 1' + b"0" * 400 + b"}",
    "a number beyond float64": b'{"a": 1e999}',
    "a key twice": b'{"a": 1, "a": 2}',
    "NaN": b'{"a": NaN}',
}


@pytest.mark.parametrize("name", JSON)
def test_json_that_nobody_could_use_is_a_value_error(name: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_json(JSON[name])


@pytest.mark.parametrize("content", [b'{"a": [1, 2.5, -0.0, true, null, "\\u00e9"]}', b"9" * 308, b"1e308"])
def test_other_json_is_read_as_json_reads_it(content: bytes) -> None:
    assert parse_json(content) == json.loads(content)


def _frame(path: Path) -> None:
    list(frames.FrameParser().feed(path.read_bytes() + b"\n"))


def _lease(path: Path) -> None:
    assert Lease(str(path.parent)).holders()["reserved"] is None


def _earlier_run(path: Path) -> None:
    assert expected_seconds((), {"rock": Board("rock")}, path.parents[1], 1) is None


Reader = Callable[[Path], object]
READERS: dict[str, tuple[str, Reader, type[Exception] | None]] = {
    "metadata of a bundle": (
        "m.rknn.json",
        lambda path: read_bundle(path.with_suffix("")),
        BundleError,
    ),
    "journal of a bundle": ("m.rknn", lambda path: read_bundle(path), BundleFormatError),
    "costs": ("scirknn/costs.json", lambda path: read_costs(), InputError),
    "manifest": ("manifest.json", lambda path: read_run(path.parent), RunFolderError),
    "record": ("cases.jsonl", lambda path: read_run(path.parent), RunFolderError),
    "plan": ("plan.jsonl", lambda path: RunFolder(path.parent).plan(), RunFolderError),
    "board's answers in a run": ("facts/0.json", lambda path: kept_facts(path.parents[1]), RunFolderError),
    "entry of a corpus": ("spec.json", lambda path: read_case(path.parent), CorpusError),
    "own model": ("own.json", lambda path: kept_model(path.parent), OwnModelError),
    "facts": ("facts.json", read_facts, FactsFileError),
    "earlier run": ("runs/a/manifest.json", _earlier_run, None),
    "reservation": ("reserved.json", _lease, None),
    "clocks that were held": ("clocks.json", clocks._read_record, None),
}
"""The file that each reads, how, and the error that it ends in; None where it passes over such a file."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that has what readers look for beside their file."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert costs_path() == tmp_path / "scirknn/costs.json"
    (tmp_path / "cases.jsonl").touch()
    (tmp_path / "manifest.json").write_text(json.dumps({"format": FORMAT, "toolkits": [], "boards": {}}))
    (tmp_path / "m.rknn").touch()
    return tmp_path


def _place(folder: Path, reader: str) -> Path:
    path = folder / READERS[reader][0]
    path.parent.mkdir(parents=True, exist_ok=True)
    if reader == "journal of a bundle":
        return _journal(path)
    path.unlink(missing_ok=True)
    return path


def _read(folder: Path, reader: str) -> None:
    name, read, error = READERS[reader]
    if error is None:
        read(folder / name)
    else:
        with pytest.raises(error):
            read(folder / name)


@pytest.mark.parametrize("reader", READERS)
def test_reader_refuses_json_that_nobody_could_use(folder: Path, reader: str) -> None:
    for content in JSON.values():
        _place(folder, reader).write_bytes(content + b"\n")
        _read(folder, reader)


@pytest.mark.parametrize("name", JSON)
def test_header_of_a_frame_refuses_json_that_nobody_could_use(name: str) -> None:
    with pytest.raises(frames.ProtocolViolation):
        list(frames.FrameParser().feed(JSON[name] + b"\n"))


@pytest.mark.parametrize("kind", ["FIFO", "device"])
@pytest.mark.parametrize("reader", READERS)
def test_reader_waits_for_no_fifo_and_reads_no_device(folder: Path, reader: str, kind: str) -> None:
    path = _place(folder, reader)
    os.mkfifo(path) if kind == "FIFO" else path.symlink_to("/dev/zero")
    _read(folder, reader)


def test_store_passes_over_a_fifo_and_refuses_what_is_compressed(tmp_path: Path) -> None:
    store = ConversionStore(tmp_path)
    os.mkfifo(tmp_path / "key.conversion")
    assert store.get("key") is None
    np.savez_compressed(tmp_path / "bomb.npz", document=np.zeros(1 << 20, np.uint8))
    with pytest.raises(ValueError, match="compressed"):
        PackedConversion.from_bytes((tmp_path / "bomb.npz").read_bytes())


RESULT = CaseResult(own_case("iris", "float16", "2.3.2", (8,)), Outcome.PASS)


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "..", "", "a\0b"])
@pytest.mark.parametrize("field", ["id", "toolkit", "board", "samples", "spec"])
def test_record_names_files_of_its_folder_alone(field: str, path: str) -> None:
    if field in ("samples", "toolkit") and not path:  # none were kept; the host computes
        return
    document = {**RESULT.to_json(), field: {"name": path} if field == "spec" else path}
    with pytest.raises(ValueError, match="is no name of a file"):
        CaseResult.from_json(document)
    if field != "samples":
        with pytest.raises(ValueError, match="is no name of a file"):
            Entry.from_json(document)


def test_own_model_of_a_run_names_files_of_its_folder_alone(tmp_path: Path) -> None:
    for document in ({"sha256": {"/dev/zero": "0"}}, {"sha256": {}, "files": {"model": "../model.pkl"}}):
        (tmp_path / "own.json").write_text(json.dumps(document))
        with pytest.raises(OwnModelError, match="is no name of a file"):
            kept_model(tmp_path)


def test_entry_of_a_corpus_is_the_one_that_its_folder_names(tmp_path: Path) -> None:
    document = attrs.evolve(RESULT.case, kind="corpus", source=SPEC).to_json()
    (tmp_path / "spec.json").write_text(json.dumps({**document, "outcome": "mismatch", "stage": None}))
    with pytest.raises(CorpusError, match="it is 'iris-float16-n8'"):
        read_case(tmp_path)


def test_run_keeps_no_copy_of_what_a_link_in_the_corpus_leads_to(tmp_path: Path) -> None:
    case = Case.from_json(attrs.evolve(RESULT.case, kind="corpus", source=SPEC).to_json())
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "corpus" / case.id).mkdir(parents=True)
    (tmp_path / "corpus" / case.id / "inputs.npy").symlink_to(tmp_path / "secret")
    plan = [Entry(case, "virtual")]
    RunFolder.begin(tmp_path / "run", {"format": FORMAT}, plan, corpus=tmp_path / "corpus").close()
    assert (tmp_path / "run/corpus" / case.id / "inputs.npy").is_symlink()


VIEWS = (
    "report.html",
    "report.md",
    "junit.xml",
    "summary.json",
    "compare.html",
    "compare.md",
    "compare.json",
)


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A run whose views are links to a file of the user's."""
    run = Path(shutil.copytree(FILES_OF_BEFORE / "run", tmp_path / "run"))
    (tmp_path / "profile").write_text("mine")
    for name in (*VIEWS, "broken.jsonl"):
        (run / name).unlink(missing_ok=True)
        (run / name).symlink_to(tmp_path / "profile")
    return run


def test_views_of_a_run_are_written_to_its_folder_alone(linked: Path) -> None:
    for arguments in (["report", str(linked)], ["compare", str(linked), str(linked)]):
        assert CliRunner().invoke(main, arguments).exit_code in (0, 1)
    assert (linked.parent / "profile").read_text() == "mine"
    assert not any((linked / name).is_symlink() for name in VIEWS)


def test_resumed_run_is_written_to_its_folder_alone(linked: Path) -> None:
    first = read_run(linked).results[0]
    (linked / "cases.jsonl").write_text(attrs.evolve(first, outcome=Outcome.INFRA_ERROR).line())
    with pytest.raises(RunFolderError, match=r"broken\.jsonl"):
        RunFolder.resume(linked)
    (linked / "broken.jsonl").unlink()
    (linked / "logs/gw0/virtual_board/home").mkdir(parents=True)
    RunFolder.resume(linked).close()
    assert not (linked / "logs/gw0/virtual_board").exists()
    (linked / "samples").symlink_to(linked.parent)
    with pytest.raises(RunFolderError, match="is a link"):
        RunFolder.resume(linked)
    assert (linked.parent / "profile").read_text() == "mine"


def test_answers_of_a_board_are_kept_in_the_run_alone(folder: Path) -> None:
    manifest = {"format": FORMAT, "toolkits": [], "boards": {"rock": {}}}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "facts").symlink_to(folder.parent)
    with pytest.raises(RunFolderError, match="is a link"):
        keep_facts(folder, BoardFacts("rock", "now", False, ()))


def test_resumed_run_takes_up_its_own_options_and_no_others(tmp_path: Path) -> None:
    options = {"seed": 5, "board": ["virtual"], "toolkit": ["2.3.2"], "precision": ["int8"], "family": []}
    hostile = {"scheduler": "tcp://127.0.0.9:1", "trust_pickle": True, "update_expectations": True}
    manifest = {"format": FORMAT, "toolkits": [], "boards": {}, "options": {**options, **hostile}}
    RunFolder.begin(tmp_path / "run", manifest).close()

    option = SimpleNamespace(rknn=RunOptions(resume=str(tmp_path / "run")).to_json(), collectonly=True)
    stash: dict[Any, Any] = {}
    pytest_plugin.pytest_configure(SimpleNamespace(option=option, stash=stash))  # type: ignore[arg-type]
    (settled,) = (each for each in stash.values() if isinstance(each, RunOptions))
    assert (settled.seed, settled.precision) == (5, ("int8",))
    assert (settled.scheduler, settled.trust_pickle, settled.update_expectations) == (None, False, False)


@pytest.mark.parametrize("name", ["host;touch x", "-oProxyCommand=x", "$(x)", "a b", "a\nb", "`x`", "a'b"])
def test_name_that_a_shell_obeys_reaches_no_proxy_command(name: str) -> None:
    values = {"proxycommand": ["nc %h %p"]}
    for words in ((name, "host", "user"), ("host", name, "user"), ("host", "host", name)):
        given, host, user = words
        with pytest.raises(ValueError, match="ProxyCommand"):
            _proxy(values, given, host, 22, user)
    assert _proxy(values, "rock", "fe80::1%eth0", 22, "ann") == "nc fe80::1%eth0 22"


HEADERS = (
    "{'descr': ((",
    "{[]: 1}",
    "{'descr': '<f8', 'fortran_order': False, 'shape': (1" + "0" * 30 + ",)}",
)


def _npy(header: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)


@pytest.mark.parametrize("header", HEADERS)
def test_array_whose_header_numpy_fails_at_is_refused(header: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(_npy(header))
    with pytest.raises(InputError, match=r"x\.npy is no \.npy file of numbers"):
        read_table(str(path), None)  # type: ignore[arg-type]
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.write(path, "a.npy")
    with pytest.raises(ValueError, match="of another kind"):
        unpack_arrays((tmp_path / "x.npz").read_bytes(), "x.npz", _fail)
    (tmp_path / "inputs.npy").write_bytes(_npy(header))
    skops.io.dump(StandardScaler(), tmp_path / "model.skops")
    with pytest.raises(CorpusError, match="cannot be read"):
        read_model(tmp_path)


def _fail(why: str) -> NoReturn:
    raise ValueError(why)


@pytest.mark.parametrize("start", ["1,2\n", '"'])
def test_line_without_an_end_is_refused_before_it_is_read(start: str, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(start)
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # nothing of it is on the disk
    with pytest.raises(InputError, match="a line has 16 million characters or more"):
        read_table(str(path), SimpleNamespace(feature_names=None, columns=None, n_features_in=2))
