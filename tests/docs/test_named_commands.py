"""Commands that no test runs are those that the programs take: in prose, in blocks left out, in workflows."""

from __future__ import annotations

import configparser
import functools
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rknn_harness.commands.cli import main
from tests.docs.pages import PAGES, ROOT, read_page

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PROGRAMS = ("rknn-harness", "tox", "python3 -m", "python -m")


def commands_in_blocks(page: str, *, run: bool) -> set[str]:
    """Return the commands of a page's blocks that are run, or of those that are not."""
    lines = [
        line
        for block in read_page(page).blocks
        if block.language == "bash" and ("not run" not in block.markers) == run
        for line in block.text.splitlines()
    ]
    return set(_commands(lines))


def commands_in_prose(page: str) -> set[str]:
    """Return the commands among a page's code spans."""
    return set(_commands(re.findall(r"`([^`\n]+)`", (ROOT / page).read_text("utf-8"))))


def _commands(lines: list[str]) -> list[str]:
    parts = [part.strip() for line in lines for part in re.sub(r"\s*#\s.*$", "", line).split("&&")]
    names = tuple(f"{name} " for name in PROGRAMS)
    return [part.removesuffix(" &") for part in parts if part.startswith(names) or part == "tox"]


def commands_of_workflow(text: str) -> list[str]:
    """Return the programs' commands in ``run:`` entries, folded and literal ones too."""
    found = []
    for style, own, block in re.findall(r"^ +run: ?(>-|\||)(.*)\n((?:^ {10}.*\n)*)", text, re.MULTILINE):
        lines = [" ".join(block.split())] if style == ">-" else [own, *block.splitlines()]
        found += [line.strip() for line in lines]
    return _commands(found)


def check(command: str, folder: Path) -> None:
    """Raise unless the program takes the command."""
    words = shlex.split(command.replace("~/", "home/"))
    if words[0] == "rknn-harness":
        check_harness(words[1:], folder)
    elif words[0] == "tox":
        check_tox(words[1:], folder)
    elif words[0] in ("python3", "python") and words[2] != "pip":
        check_module(words[2], words[3:])


def check_harness(words: list[str], folder: Path) -> None:
    for word in words:
        # What is named as a folder or file must be there for click to take it.
        if "*" not in word and (
            "/" in word or word.endswith((".toml", ".json", ".pem", ".rknn")) or word == "FILE"
        ):
            path = folder / word
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix or word == "FILE":
                path.touch()
            else:
                path.mkdir(exist_ok=True)
    words = [word.replace("runs/*", "runs") for word in words]
    (folder / "runs").mkdir(exist_ok=True)
    command: click.Command = main
    name = "rknn-harness"
    while isinstance(command, click.Group):
        assert words, f"{name} needs a command"
        name = words.pop(0)
        if name in ("-h", "--help"):
            return
        assert name in command.commands, f"there is no command {name!r}"
        command = command.commands[name]
    if "--help" not in words and words != ["..."]:
        command.make_context(name, words)


def check_tox(words: list[str], folder: Path) -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "tox.ini")
    own, _, rest = " ".join(words).partition(" -- ")
    if own:
        option, names = own.split(" ", 1)
        assert option == "-e", f"tox {option}"
        for name in names.split(","):
            assert name == "py" or f"testenv:{name}" in parser, f"there is no tox environment {name!r}"
        if rest and names == "device":
            check_harness(["run", *shlex.split(rest)], folder)
        elif rest and names == "py":
            check(rest, folder)


def check_module(module: str, words: list[str]) -> None:
    """Look for the command and each option in the module's help."""
    if module in ("venv", "zipapp"):  # Python's own
        return
    if module not in ("sklearn2rknn", "scirknn", "virtual_npu"):
        places = (ROOT, ROOT / "harness" / "src")
        files = (f"{module.replace('.', '/')}{end}" for end in (".py", "/__main__.py"))
        assert any((each / file).exists() for file in files for each in places), module
        return
    sub = "" if module == "sklearn2rknn" or words[:1] == [] or words[0].startswith("-") else words[0]
    told = help_of(module, sub)
    for word in words:
        if word.startswith("-"):
            assert word in told, f"{module} has no {word}"


@functools.cache
def help_of(module: str, sub: str) -> str:
    words = [sys.executable, "-m", module, *filter(None, [sub]), "--help"]
    said = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert said.returncode == 0, said.stderr
    return said.stdout


ALL = sorted(
    {
        *((page, command) for page in PAGES for command in commands_in_prose(page)),
        *((page, command) for page in PAGES for command in commands_in_blocks(page, run=False)),
        *(
            (path.name, command)
            for path in WORKFLOWS
            for command in commands_of_workflow(path.read_text("utf-8"))
        ),
    }
)


@pytest.mark.parametrize(("source", "command"), ALL, ids=lambda value: value.replace("/", "_"))
def test_the_command_is_taken(
    source: str, command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    check(command, tmp_path)


def commands_of_harness(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name, below in getattr(command, "commands", {}).items():
        yield from commands_of_harness(below, *path, name)


@pytest.mark.parametrize("path", [*commands_of_harness(main)], ids=" ".join)
def test_every_help_has_an_example_that_the_program_takes(
    path: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    printed = CliRunner().invoke(main, [*path, "--help"], terminal_width=80).output
    named = " ".join(("rknn-harness", *path))
    lines = [line.strip().removeprefix("Example: ") for line in printed.splitlines()]
    examples = [line.split("  ")[0] for line in lines if f"{line} ".startswith(f"{named} ")]
    assert examples
    for example in examples:
        check(example, tmp_path)


def test_there_are_commands_everywhere() -> None:
    assert {source for source, _ in ALL} > {"README.md", "docs/verdict.md", "nightly.yml"}


@pytest.mark.parametrize(
    "wrong",
    [
        "rknn-harness rum --board virtual",
        "rknn-harness run --bored virtual",
        "rknn-harness compare",
        "rknn-harness run --precision int4",
        "rknn-harness board loock --board desk",
        "tox -e devise",
        "tox -e device -- --cases 5",
        "tox -e py -- rknn-harness compare --notime runs/a runs/b",
        "python -m virtual_npu information x.rknn",
        "python3 -m sklearn2rknn a.skops a.rknn --platform rk3588",
    ],
)
def test_a_wrong_command_is_caught(wrong: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AssertionError, click.UsageError)):
        check(wrong, tmp_path)


def test_what_workflows_do_is_in_the_docs() -> None:
    documented = {"tox"}
    for page in PAGES:
        documented |= commands_in_blocks(page, run=True) | commands_in_prose(page)
    for path in WORKFLOWS:
        own = commands_of_workflow(path.read_text("utf-8"))
        assert own, path
        for command in own:
            assert command in documented or command == "python3 -m pip install tox", f"{path.name}: {command}"
    text = "".join(path.read_text("utf-8") for path in WORKFLOWS)
    for action in re.findall(r"uses: (\S+)", text):
        assert re.fullmatch(r"actions/[\w/-]+@v\d+", action), action
