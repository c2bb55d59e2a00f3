"""Every block of the documentation runs as it stands, in the page's order, in an empty folder.

What differs from what the pages say is in `differences`; which blocks are not run, and why, the page says.
"""

from __future__ import annotations

import configparser
import fcntl
import importlib.util
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.docs.differences import COMMANDS
from tests.docs.pages import LANGUAGES, MARKERS, PAGES, ROOT, Page, blocks_to_run, parse_page, read_page
from tests.docs.place import Place, install

ALL = {name: read_page(name) for name in PAGES}
NOT_RUN = [block for page in ALL.values() for block in page.blocks if "not run" in block.markers]
MOST_NOT_RUN = 10


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    """The environment in which the README's command has installed the packages, once for all workers."""
    folder = tmp_path_factory.getbasetemp()
    folder = (folder if worker_id == "master" else folder.parent) / "documented"
    folder.mkdir(exist_ok=True)
    (command,) = [block.text for block in ALL["README.md"].blocks if block.markers.get("name") == "install"]
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            install(folder, command)
            (folder / "done").touch()
    return folder / "environment"


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", PAGES)
def test_a_page_runs_as_it_stands(name: str, installed: Path, tmp_path: Path) -> None:
    blocks = blocks_to_run(ALL[name])
    if (needed := ALL[name].needs) and importlib.util.find_spec(needed) is None:
        pytest.skip(f"needs the package {needed}: see `tox -e tools`")
    with Place(tmp_path, installed) as place:
        if any("board.example" in block.text for block in blocks):
            for program in ("ssh", "scp", "ssh-agent", "ssh-copy-id"):
                if shutil.which(program) is None:
                    pytest.skip(f"needs {program}")
            place.answer_as_board()
        for block in blocks:
            if "not run" not in block.markers:
                place.run(block)


def test_few_blocks_are_not_run_and_each_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    count = sum(len(page.blocks) for page in ALL.values())
    with capsys.disabled():
        print(f"\n{count} blocks on {len(PAGES)} pages; not run are {len(NOT_RUN)}:")
        for block in NOT_RUN:
            print(f"  {block}: {block.markers['not run']}")
    assert all(block.markers["not run"] for block in NOT_RUN)
    assert len(NOT_RUN) <= MOST_NOT_RUN


@pytest.mark.parametrize("page", ALL.values(), ids=lambda page: str(page.name))
def test_blocks_say_what_they_are(page: Page) -> None:
    for block in page.blocks:
        assert block.language in LANGUAGES, f"{block} needs fences and one of {LANGUAGES}"
        assert set(block.markers) <= set(MARKERS), f"{block}: {block.markers}"
    blocks_to_run(page)


def test_each_difference_is_one_of_a_command_of_the_pages() -> None:
    commands = [line for page in ALL.values() for block in page.blocks for line in block.text.splitlines()]
    parts = [part for line in commands for part in re.sub(r"\s*# .*$", "", line).split(" && ")]
    for pattern, _ in COMMANDS:
        assert any(re.match(pattern, part) for part in parts), f"no command is as {pattern}"


def test_what_stands_for_tox_is_what_tox_runs() -> None:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "tox.ini")
    commands = parser["testenv:device"]["commands"].split("\n")
    assert commands[-1] == "rknn-harness run --seed 0 {posargs}"
    assert parser["testenv"]["commands"] == "{posargs:python}"


PAGE = """
<!-- after: README.md install -->
<!-- needs: numpy -->
Text.

<!-- name: first -->
<!-- in the source folder -->
```bash
true   # a comment
```

1. In a list:

   <!-- not run: needs hands -->
   ```python
   pass
   ```

Text between.

    indented
"""


def test_a_page_is_taken_apart() -> None:
    page = parse_page("page.md", PAGE)
    assert page.after == (("README.md", "install"),)
    assert page.needs == "numpy"
    first, second, third = page.blocks
    assert (first.language, first.line) == ("bash", 8)
    assert first.markers == {"name": "first", "in the source folder": ""}
    assert (second.text, second.markers) == ("pass\n", {"not run": "needs hands"})
    assert (third.language, third.markers) == ("", {})


@pytest.mark.parametrize(
    ("command", "passes"),
    [
        ("true", True),
        ("false", False),
        ("false  # exit code 1", True),
        ("true  # exit code 1", False),
        ("false | true", False),
        ("false\ntrue", False),
        ("true && false", False),
        ("test a = \\\n  a", True),
    ],
)
def test_exit_codes_are_those_that_the_page_tells(command: str, passes: bool, tmp_path: Path) -> None:
    with Place(tmp_path, tmp_path) as place:
        (block,) = parse_page("page.md", f"```bash\n{command}\n```\n").blocks
        if passes:
            place.run(block)
        else:
            with pytest.raises(AssertionError, match=r"page\.md:1"):
                place.run(block)


def test_printed_lines_are_compared_but_for_their_figures(tmp_path: Path) -> None:
    page = "```bash\necho 1.5 of  30 pass\n```\n<!-- printed -->\n```text\n{}\n```\n"
    for printed, passes in (("2 of 4 pass", True), ("2 of 4 fail", False)):
        with Place(tmp_path / printed, tmp_path) as place:
            command, output = parse_page("page.md", page.format(printed)).blocks
            place.run(command)
            if passes:
                place.run(output)
            else:
                with pytest.raises(AssertionError, match="2 of 4 fail"):
                    place.run(output)


def test_blocks_of_python_share_their_names_and_an_error_fails(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3").symlink_to(sys.executable)
    page = "```python\na = 1\n```\n```python\nprint(a)\n```\n```python\n1 / 0\n```\n"
    first, second, third = parse_page("page.md", page).blocks
    with Place(tmp_path / "place", tmp_path) as place:
        place.run(first)
        place.run(second)
        with pytest.raises(AssertionError, match="ZeroDivisionError"):
            place.run(third)
