"""An empty folder with a home of its own, in which a page's blocks run one after the other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

import pytest

from rknn_harness.boards.boards_file import Board
from rknn_harness.boards.providers.virtual import VirtualBoard
from tests.docs.differences import command_to_run, file_to_write
from tests.docs.pages import ROOT, Block

SECONDS = 900
KEPT = ("LANG", "LC_ALL", "OPENBLAS_CORETYPE", "SKLEARN2RKNN_")
"""Beginnings of the variables that a page's commands have of the test's environment."""

# Blocks of one page share their names, as they do for who types them.
_PYTHON = """
import sys, traceback
names = {"__name__": "__main__"}
for path in map(str.strip, sys.stdin):
    try:
        exec(compile(open(path).read(), path, "exec"), names)
        status = "done"
    except BaseException:
        traceback.print_exc()
        status = "failed"
    sys.stdout.flush()
    print(status, file=sys.__stderr__, flush=True)
"""


class Place:
    """Where a page is run; a context manager.

    Parameters
    ----------
    folder : pathlib.Path
        Empty.
    environment : pathlib.Path
        The virtual environment that has the packages.
    """

    def __init__(self, folder: Path, environment: Path) -> None:
        self.work, self.home, self.source = folder / "work", folder / "home", folder / "source"
        self._programs, self._temporary = folder / "programs", folder / "tmp"
        for each in (self.work, self.home / ".ssh", self._programs, self._temporary):
            each.mkdir(parents=True)
        self._environment = environment
        self._folder = folder
        self._output = ""
        self._python: subprocess.Popen[str] | None = None
        self._closing = ExitStack()
        kept = {name: value for name, value in os.environ.items() if name.startswith(KEPT)}
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        self.variables = kept | {
            "PATH": f"{self._programs}:{environment}/bin:{os.environ['PATH']}",
            "HOME": str(self.home),
            "TMPDIR": str(self._temporary),
            "XDG_CACHE_HOME": str(cache),  # the toolkits, which every page uses
            "NO_COLOR": "1",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def __enter__(self) -> Place:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._python is not None:
            assert self._python.stdin is not None
            self._python.stdin.close()
            self._python.wait(60)
        self._closing.close()

    def run(self, block: Block) -> None:
        """Run a block, or write the file that it is; fails with what was printed."""
        if "file" in block.markers:
            path = self.work / block.markers["file"].replace("~", str(self.home))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(file_to_write(block.text), "utf-8")
        elif "printed" in block.markers:
            self._compare(block)
        elif block.language == "bash":
            self._run_bash(block)
        elif block.language == "python":
            self._run_python(block)
        else:
            pytest.fail(f"{block} is neither run nor a file; put '<!-- file: NAME -->' above it")

    def answer_as_board(self) -> None:
        """Start the virtual board, which ``ssh board.example`` reaches from here on."""
        programs = self._folder / "board-programs"
        programs.mkdir()
        _write_program(
            programs / "python3", f'SCIRKNN_DEVICE=virtual exec "{self._environment}/bin/python3" "$@"'
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", f"{programs}:{self._environment}/bin:{os.environ['PATH']}")
            board = self._closing.enter_context(VirtualBoard(self._folder / "board")).board
        config = self.home / ".ssh" / "config"
        config.write_text(
            f"Host board.example\n  HostName {board.host}\n  Port {board.port}\n"
            f"  UserKnownHostsFile {self.home}/.ssh/known_hosts\n  StrictHostKeyChecking accept-new\n"
        )
        # OpenSSH knows the user's home from passwd, not from HOME.
        for name in ("ssh", "scp"):
            _write_program(self._programs / name, f'exec {shutil.which(name)} -F "{config}" "$@"')
        self._let_in(board)

    def _let_in(self, board: Board) -> None:
        """Start an agent with the board's key, which lets ``ssh-copy-id`` in as a password would."""
        address = self._folder / "agent"
        agent = subprocess.Popen(
            ["ssh-agent", "-D", "-a", str(address)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._closing.callback(agent.wait)
        self._closing.callback(agent.terminate)
        self.variables["SSH_AUTH_SOCK"] = str(address)
        script = f'until [ -S "{address}" ]; do sleep 0.05; done; ssh-add -q "{board.key}"'
        subprocess.run(["sh", "-c", script], env=self.variables, timeout=60, check=True)

    def _run_bash(self, block: Block) -> None:
        folder = self.work
        if "in the source folder" in block.markers:
            folder = self._copy_source()
        script = self._folder / f"{block.language}-{block.line}"
        script.write_text(bash_script(block.text))
        variables = dict(self.variables)
        if "on the board" in block.markers:
            variables["SCIRKNN_DEVICE"] = "virtual"
        done = subprocess.run(
            ["bash", "-x", str(script)],
            cwd=folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        self._output = done.stdout
        assert done.returncode == 0, f"{block} fails:\n{done.stdout[-6000:]}"

    def _run_python(self, block: Block) -> None:
        script = self._folder / f"{block.page.replace('/', '-')}-{block.line}.py"
        script.write_text(block.text)
        log = self._folder / "python.log"
        if self._python is None:
            with log.open("w") as output:
                self._python = subprocess.Popen(
                    [str(self._environment / "bin" / "python3"), "-c", _PYTHON],
                    cwd=self.work,
                    env=self.variables,
                    stdin=subprocess.PIPE,
                    stdout=output,
                    stderr=subprocess.PIPE,
                    text=True,
                )
        process = self._python
        assert process.stdin is not None
        assert process.stderr is not None
        before = log.stat().st_size
        process.stdin.write(f"{script}\n")
        process.stdin.flush()
        errors = []
        for line in process.stderr:
            if line in ("done\n", "failed\n"):
                break
            errors.append(line)
        self._output = log.read_text()[before:]
        assert line == "done\n", f"{block} fails:\n{self._output}{''.join(errors)}"

    def _compare(self, block: Block) -> None:
        printed = [_without_figures(line) for line in self._output.splitlines()]
        for line in block.text.splitlines():
            assert _without_figures(line) in printed, (
                f"{block} has a line that the block before does not print: {line!r}. It prints:\n"
                f"{self._output}"
            )

    def _copy_source(self) -> Path:
        if not self.source.exists():
            copy_source(self.source)
        return self.source


def bash_script(text: str) -> str:
    """Return the commands of a block, each with the exit code that its comment tells, else 0."""
    lines = ["set -o pipefail"]
    for command in text.replace("\\\n", " ").splitlines():
        expected = re.search(r"# exit code (\d+)$", command)
        if to_run := command_to_run(command).strip():
            code = expected[1] if expected else "0"
            lines.append(f'{to_run}; code=$?; [ $code = {code} ] || {{ echo "exit code $code"; exit 1; }}')
    return "\n".join(lines) + "\n"


def copy_source(target: Path) -> None:
    """Copy the project's folder as a clone would have it, changes that are not committed included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if os.path.lexists(ROOT / name):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name, follow_symlinks=False)


def install(folder: Path, command: str) -> None:
    """Make a virtual environment in `folder`, and install the packages there from a copy of the source.

    What they depend on is taken from the environment of the tests.
    """
    environment, source = folder / "environment", folder / "source"
    copy_source(source)
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True, timeout=SECONDS)
    (packages,) = environment.glob("lib/python3*/site-packages")
    (packages / "outer.pth").write_text("\n".join(each for each in sys.path if each.endswith("-packages")))
    done = subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=source,
        env=os.environ | {"PATH": f"{environment}/bin:{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    if "No matching distribution found for hatchling" in done.stderr:
        pytest.skip("needs hatchling, or an index to fetch it from")
    assert done.returncode == 0, f"{command} fails:\n{done.stdout}{done.stderr}"


def _write_program(path: Path, command: str) -> None:
    path.write_text(f"#!/bin/sh\n{command}\n")
    path.chmod(0o755)


def _without_figures(line: str) -> str:
    return re.sub(r"\d[\d.,]*(e[+-]\d+)?", "0", " ".join(line.split()))
