"""The programs, killed at any moment: files are the old or the new ones, and the next start cleans up."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import attrs
import joblib  # type: ignore[import-untyped]
import numpy as np
import pytest
from sklearn.neural_network import MLPRegressor

from rknn_harness.records.run_folder import read_run
from scirknn import read_bundle
from scirknn.termination import TERMINATED
from tests.counts import counted
from tests.waiting import wait_until

pytestmark = [
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
    pytest.mark.timeout(7200),
]

KILLED = -signal.SIGKILL

HOOK = '''
"""Kill this process SECONDS after its COUNT-th change of files or processes, at the latest at its end."""

import _thread, atexit, os, sys, time

CHANGES = ("fcntl.flock", "os.", "shutil.", "socket.connect", "subprocess.Popen", "tempfile.")
NO_CHANGES = ("os.listdir", "os.listxattr", "os.putenv", "os.scandir", "os.unsetenv")
process, order = os.getpid(), os.environ.pop("KILL_AT", "")
count = 0


def kill():
    os.kill(process, number)


def kill_later():
    time.sleep(seconds)
    kill()


def notice(event, arguments):
    global count
    if event == "open":
        is_change = type(arguments[2]) is int and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    else:
        is_change = event.startswith(CHANGES) and event not in NO_CHANGES
    if is_change and os.getpid() == process and not sys.is_finalizing():
        count += 1
        if order and count == last:
            kill() if not seconds else _thread.start_new_thread(kill_later, ())


if order:
    last, seconds, number = int(order.split()[0]), float(order.split()[1]), int(order.split()[2])
    if last == 0:
        _thread.start_new_thread(kill_later, ())
    if number == 9:
        atexit.register(kill)
    sys.addaudithook(notice)
elif "COUNT_IN" in os.environ:
    place = os.environ.pop("COUNT_IN")
    sys.addaudithook(notice)
    atexit.register(lambda: open(place, "w").write(str(count)))
'''


@attrs.frozen
class Programs:
    """Runs the project's programs in a folder, with a temporary folder of their own."""

    folder: Path

    @property
    def temporary(self) -> Path:
        return self.folder / "tmp"

    def run(self, command: Sequence[str], **variables: str) -> int:
        """Run to the end, also of what the program leaves behind; return its exit code."""
        own: Mapping[str, str] = {
            "TMPDIR": str(self.temporary),
            "PYTHONPATH": str(self.folder / "hook"),
            "SCIRKNN_DEVICE": "virtual",
        }
        with (self.folder / "printed").open("ab") as printed:
            done = subprocess.run(
                [sys.executable, "-m", *command],
                cwd=self.folder,
                env={**os.environ, **own, **variables},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=printed,
                check=False,
            )
        wait_until(lambda: not self.processes(), "processes of a killed program end by themselves")
        return done.returncode

    def processes(self) -> list[int]:
        """Return the processes that have our temporary folder in their environment."""
        ours, processes = f"TMPDIR={self.temporary}".encode(), []
        for place in Path("/proc").iterdir():
            if place.name.isdigit():
                try:
                    environment = (place / "environ").read_bytes()
                except OSError:
                    continue
                if ours in environment:
                    processes.append(int(place.name))
        return processes

    def measure(self, command: Sequence[str]) -> tuple[int, float]:
        """Run to the end; return how many changes it made, and the seconds that it took."""
        place, started = self.folder / "count", time.monotonic()
        assert self.run(command, COUNT_IN=str(place)) == 0, (self.folder / "printed").read_text()
        return int(place.read_text()), time.monotonic() - started


def moments(count: int, changes: int, seconds: float, seed: int) -> Iterator[str]:
    """Yield when to kill: half of them at or shortly after a change, half of them at any time."""
    drawn = random.Random(seed)
    for number in range(count):
        if number % 2:
            yield f"0 {drawn.uniform(0.0, seconds)} 9"
        else:
            yield f"{drawn.randint(1, changes)} {drawn.choice([0.0, drawn.uniform(0.0, 0.2)])} 9"


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Programs:
    folder = tmp_path_factory.mktemp("killed")
    for name in ("hook", "tmp"):
        (folder / name).mkdir()
    (folder / "hook" / "sitecustomize.py").write_text(HOOK)
    X = np.random.default_rng(0).normal(size=(80, 4))
    for name, y in (("one", X[:, 0]), ("two", X[:, 1] + 5)):
        estimator = MLPRegressor(hidden_layer_sizes=(4,), max_iter=300, random_state=0)
        joblib.dump(estimator.fit(X, y), folder / f"{name}.joblib")
        np.savetxt(folder / f"{name}.csv", X[:20] + len(name) * (name == "two"), delimiter=",")
    np.save(folder / "X.npy", X)
    return Programs(folder)


def convert(model: str, target: str = "m.rknn") -> list[str]:
    return ["sklearn2rknn", "convert", f"{model}.joblib", target, "--batch-size", "1", "8"]


def predict(bundle: str, rows: str, target: str) -> list[str]:
    return ["scirknn", "predict", f"{bundle}.rknn", f"{rows}.csv", target]


def works(programs: Programs, command: Sequence[str]) -> bool:
    code = programs.run(command)
    assert code == 0, (programs.folder / "printed").read_text()[-3000:]
    return True


@pytest.fixture(scope="module")
def answers(programs: Programs) -> dict[str, bytes]:
    """What a bundle of each model predicts for the same rows."""
    for name in ("one", "two"):
        assert works(programs, convert(name, f"{name}.rknn"))
        assert works(programs, predict(name, "one", f"{name}-answer.csv"))
    texts = {name: (programs.folder / f"{name}-answer.csv").read_bytes() for name in ("one", "two")}
    assert texts["one"] != texts["two"]
    return texts


def each_killed(
    programs: Programs,
    kills: Sequence[str],
    command: Callable[[int], list[str]],
    check: Callable[[int], None],
) -> None:
    """Kill a program at each moment, and check what is there."""
    for number, moment in enumerate(kills):
        assert programs.run(command(number), KILL_AT=moment) == KILLED, moment
        check(number)


def test_a_bundle_is_the_old_or_the_new_one_after_a_kill(
    programs: Programs, answers: dict[str, bytes]
) -> None:
    names = ("one", "two")
    changes, seconds = programs.measure(convert("one"))
    kills = list(moments(counted(40), changes, seconds, seed=1))
    seen = []

    def check(number: int) -> None:
        sizes = [variant.samples for variant in read_bundle(programs.folder / "m.rknn").variants]
        assert sizes == [1, 8]
        assert works(programs, predict("m", "one", "now.csv"))
        seen.append((programs.folder / "now.csv").read_bytes())
        assert seen[-1] in answers.values()

    for start in range(0, len(kills), 10):
        each_killed(programs, kills[start : start + 10], lambda number: convert(names[number % 2]), check)
        assert works(programs, convert("one"))
        assert list(programs.temporary.iterdir()) == []
        assert sorted(path.name for path in programs.folder.glob("*m.*")) == [
            "m.n8.rknn",
            "m.npz",
            "m.rknn",
            "m.rknn.json",
        ]
    assert not list(programs.folder.glob(".scirknn*"))


def test_predictions_are_the_old_or_the_new_ones_after_a_kill(
    programs: Programs, answers: dict[str, bytes]
) -> None:
    names = ("one", "two")
    place = programs.folder / "out.csv"
    changes, seconds = programs.measure(predict("one", "two", "out.csv"))
    texts = {"two": place.read_bytes(), "one": answers["one"]}

    def check(number: int) -> None:
        assert place.read_bytes() in texts.values()
        name = names[number % 2]
        assert works(programs, predict("one", name, "out.csv"))
        assert place.read_bytes() == texts[name]

    kills = list(moments(counted(140), changes, seconds, seed=2))
    each_killed(programs, kills, lambda number: predict("one", names[number % 2], "out.csv"), check)
    assert list(programs.temporary.iterdir()) == []


def run(programs: Programs, name: str) -> list[str]:
    """Return the command that begins a run, or goes on with one that began."""
    folder = programs.folder / name
    if folder.exists():
        return ["rknn_harness", "run", "--jobs", "1", "--resume", name]
    options = ["--model", "one.joblib", "--rows", "X.npy", "--precision", "float16"]
    return ["rknn_harness", "run", "--jobs", "1", "--run-dir", name, *options]


def test_a_run_goes_on_after_a_kill(programs: Programs) -> None:
    changes, seconds = programs.measure(run(programs, "measured"))
    kills = list(moments(counted(20), changes, seconds, seed=3))
    for start in range(0, len(kills), 4):
        name = f"run-{start}"
        folder = programs.folder / name
        for moment in kills[start : start + 4]:
            assert programs.run(run(programs, name), KILL_AT=moment) == KILLED, moment
            if folder.exists():
                assert len(read_run(folder).results) <= 1
        assert works(programs, run(programs, name))
        assert [result.outcome.value for result in read_run(folder).results] == ["pass"]
        assert list(programs.temporary.iterdir()) == []


@pytest.mark.parametrize("program", ["convert", "predict", "run"])
def test_sigterm_cleans_up_and_the_exit_code_is_143(
    programs: Programs, answers: dict[str, bytes], program: str
) -> None:
    commands = {
        "convert": lambda: convert("one"),
        "predict": lambda: predict("one", "one", "out.csv"),
        "run": lambda: run(programs, "ended"),
    }
    changes, _ = programs.measure(run(programs, "complete") if program == "run" else commands[program]())
    drawn = random.Random(4)
    for _ in range(counted(10)):
        moment = f"{drawn.randint(1, changes * 3 // 4)} 0.0 {int(signal.SIGTERM)}"
        assert programs.run(commands[program](), KILL_AT=moment) == TERMINATED, moment
        assert list(programs.temporary.iterdir()) == [], moment
    assert works(programs, commands[program]())
