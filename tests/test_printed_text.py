"""No command prints what a terminal, or a reader's eye, would obey: controls, colours, reversed text."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

import sklearn2rknn
from rknn_harness.commands.cli import main as harness
from rknn_harness.errors import HarnessError
from rknn_harness.records.run_folder import read_run
from rknn_harness.screen.printer import print_lines
from scirknn.bundle.files import read_bundle
from scirknn.bundle.sidecar import encode_metadata
from scirknn.cli.commands import main as scirknn_main
from scirknn.errors import BundleNotFoundError, ScirknnError
from scirknn.text import printable
from sklearn2rknn import ConversionReport
from sklearn2rknn.checking.check_result import CheckResult
from sklearn2rknn.toolkit.toolkit_facts import ToolkitFacts
from tests.counts import counted
from tests.device_runtime.conftest import lite, make_bundle  # noqa: F401
from tests.device_runtime.estimators.test_estimator import fitted
from tests.harness.samples import failed_results, write_run
from tests.virtual_npu.rknn_writer import small
from virtual_npu import RknnFile, VirtualNpuError, read
from virtual_npu.inspection import commands as virtual_npu_commands

OBEYED = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"
    "\ud800-\udfff]"
)
"""C0 and C1 controls but tab and newline, bidirectional marks and overrides, half surrogate pairs."""

COMMANDS = [
    "\x1b[2J",
    "\x9b31m",
    "\x07",
    "\x08",
    "\r",
    "\x00",
    "\u202e",
    "\u2066",
    "\u200f",
    "\x85",
    "\u2028",
]
MARKUP = ["[/]", "[/bold]", ":warning:"]
"""What rich obeys, or fails at, unless it is given as text."""

HOSTILE = st.lists(
    st.one_of(st.sampled_from([*COMMANDS, *MARKUP]), st.text(max_size=4)), min_size=1, max_size=5
).map("".join)


@settings(max_examples=counted(1000))
@given(text=st.text(st.characters(codec=None)))
def test_printable_text_holds_nothing_that_is_obeyed_and_all_else(text: str) -> None:
    shown = printable(text)
    assert not OBEYED.search(shown)
    assert len(shown) == len(text)
    assert all(new == old for old, new in zip(text, shown, strict=True) if old.isprintable() or old in "\n\t")


@pytest.mark.parametrize(
    "kind", [ScirknnError, BundleNotFoundError, HarnessError, sklearn2rknn.Sklearn2RknnError]
)
def test_text_of_an_error_is_printable(kind: type[Exception]) -> None:
    assert str(kind("a\x1b[2J\u202eb")) == "a\ufffd[2J\ufffdb"


EXAMPLES = settings(max_examples=counted(200), suppress_health_check=list(HealthCheck))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_info_of_a_bundle_prints_no_controls(
    make_bundle: Any,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    path: Path = make_bundle(fitted("strings"), column_names=tuple("abcde"))
    sidecar = path.with_name(f"{path.name}.json")
    plain = json.loads(sidecar.read_text())
    del plain["digest"]

    @EXAMPLES
    @given(texts=st.lists(HOSTILE, min_size=6, max_size=6, unique=True))
    def check(texts: list[str]) -> None:
        document = {
            **plain,
            "estimator": texts[0],
            "feature_names": [*texts[1:4], "d", "e"],
            "classes": {"dtype": "|O", "values": texts[3:6]},
            "toolkit": {"version": texts[0], "log": texts},
            texts[1]: texts[2],
        }
        sidecar.write_bytes(encode_metadata(document))
        read_bundle(path)
        info = [["info"], ["info", "--verbose"], ["info", "--json"]]
        for command in (*info, ["predict"], ["bench", "--seconds", "0"]):
            scirknn_main([command[0], str(path), *command[1:], *["/dev/null"] * (command[0] == "predict")])
            captured = capsys.readouterr()
            assert not OBEYED.search(captured.out + captured.err)

    check()


def test_info_of_a_model_file_prints_no_controls(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = read(small())

    @EXAMPLES
    @given(texts=st.lists(HOSTILE, min_size=3, max_size=3))
    def check(texts: list[str]) -> None:
        summary = virtual_npu_commands._summary(plain)
        summary |= {"compiler": texts[0], "custom_string": texts[1], "target_platform": texts[2]}
        for each in (*summary["layers"], *summary["inputs"]):
            each["name"] = texts[0]
        monkeypatch.setattr(virtual_npu_commands, "_summary", lambda _: summary)
        monkeypatch.setattr(virtual_npu_commands, "read", lambda _: plain)
        monkeypatch.setattr(virtual_npu_commands, "disassemble", lambda *_: iter(texts))
        monkeypatch.setattr(virtual_npu_commands, "differences", lambda *_: iter(texts))
        for command in (["info", "x"], ["info", "--json", "x"], ["disasm", "x"], ["diff", "x", "x"]):
            assert virtual_npu_commands.main(command) == 0
        monkeypatch.undo()

        def refuse(_: object) -> RknnFile:
            raise VirtualNpuError(texts[0])

        monkeypatch.setattr(virtual_npu_commands, "read", refuse)
        assert virtual_npu_commands.main(["info", "x"]) == 1
        monkeypatch.undo()
        captured = capsys.readouterr()
        assert not OBEYED.search(captured.out + captured.err)

    check()


def test_views_of_a_run_hold_no_controls(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", failed_results()).path
    lines = [json.loads(line) for line in (path / "cases.jsonl").read_text().splitlines()]
    manifest = json.loads((path / "manifest.json").read_text())

    @settings(EXAMPLES, max_examples=counted(50))
    @given(texts=st.lists(HOSTILE, min_size=4, max_size=4))
    def check(texts: list[str]) -> None:
        changed = [line | {"reason": texts[number % 4]} for number, line in enumerate(lines)]
        (path / "cases.jsonl").write_text("".join(json.dumps(line) + "\n" for line in changed))
        facts = {**manifest["boards"]["virtual"], "kernel": texts[0], "librknnrt": texts[1]}
        document = {**manifest, "boards": {"virtual": facts}, "command": texts[2], "statement": texts[3]}
        (path / "manifest.json").write_text(json.dumps(document))
        printed = [
            CliRunner().invoke(harness, arguments)
            for arguments in (["report", str(path)], ["compare", str(path), str(path)], ["trend", str(path)])
        ]
        assert [result.exit_code for result in printed] == [0, 3, 0]  # the run did not come to its end
        shown = [result.output for result in printed]
        names = ("report.html", "report.md", "junit.xml", "compare.html", "compare.md")
        shown += [(path / name).read_text("utf-8") for name in names]
        assert not any(map(OBEYED.search, shown))
        assert not any(OBEYED.search(result.reason) for result in read_run(path).results)

    check()


def test_list_of_boards_prints_no_controls(tmp_path: Path) -> None:
    path = tmp_path / "boards.toml"

    @EXAMPLES
    @given(texts=st.lists(HOSTILE))
    def check(texts: list[str]) -> None:
        tags = json.dumps([*texts, "\u202e\x1b[2J"], ensure_ascii=False).replace("\x7f", "\\u007f")
        path.write_text(f'[board.desk]\nkind = "virtual"\ntags = {tags}\n', "utf-8")
        result = CliRunner().invoke(harness, ["board", "list", "--boards", str(path)])
        assert (result.exit_code, result.stderr) == (0, "")
        assert "\ufffd\ufffd[2J" in result.output
        assert not OBEYED.search(result.output)

    check()


@EXAMPLES
@given(text=HOSTILE)
def test_lines_of_a_run_hold_no_controls(text: str) -> None:
    stream = io.StringIO()
    print_lines([text, f"PASS {text}"], stream)
    assert not OBEYED.search(stream.getvalue())


@EXAMPLES
@given(texts=st.lists(HOSTILE, min_size=4, max_size=4))
def test_report_of_a_conversion_holds_no_controls(texts: list[str]) -> None:
    facts = ToolkitFacts(
        version=texts[0],
        environment="venv",
        lock_sha256="ab" * 32,
        target_platform="rk3588",
        model_format=6,
        oldest_runtime=texts[1],
        config={},
    )
    report = ConversionReport(
        path=Path(f"/tmp/{texts[0].replace('/', '')}.rknn"),
        files={texts[0]: 1000},
        samples=(64,),
        estimator=texts[1],
        task="classifier",
        head="softmax",
        widths=(4, 3),
        precision="float16",
        accuracy="single",
        activations=("identity",),
        target_platform=texts[2],
        toolkit=facts,
        placement={"npu": 1, "cpu": 0, "unknown": texts[3]},
        ranges=[{"tensor": texts[0], "width": 4, "low": 0.0, "high": 1.0, "from": texts[1]}],
        check=CheckResult(input="random", rows=64, unavailable={"virtual_npu": texts[2]}),
        seconds=1.0,
    )
    stream = io.StringIO()
    Console(file=stream, highlight=False, soft_wrap=True).print(report)
    for shown in (stream.getvalue(), str(report), report.details(), report.to_json(), report._repr_html_()):
        assert not OBEYED.search(shown)
