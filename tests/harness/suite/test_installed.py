"""The suite as it is installed: it runs in any folder, and nothing of that folder changes the run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import ExitCode, Outcome
from rknn_harness.records.run_folder import read_run
from tests.harness.own_files import WRITERS, fitted
from tests.harness.pretended_run import PRETEND
from tests.wheels import build_wheels

ROOT = Path(__file__).parents[3]
HARNESS = Path(sys.executable).with_name("rknn-harness")


def run_pretended(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [HARNESS, "run", "--run-dir", "run", "--seed", "0", "--max-cases", "0", "--family", "none", *options],
        cwd=folder,
        env={**os.environ, **PRETEND, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def recorded(folder: Path) -> list[str]:
    return sorted("-".join(result.key) for result in read_run(folder / "run").results)


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_settings_and_plugins_of_the_folder_change_nothing(tmp_path: Path, jobs: str) -> None:
    for name in ("empty", "strange"):
        (tmp_path / name / "tests").mkdir(parents=True)
    strange = tmp_path / "strange"
    (strange / "pyproject.toml").write_text(
        '[tool.pytest.ini_options]\naddopts = "--no-such-option"\nrequired_plugins = "pytest-absent"\n'
    )
    (strange / "pytest.ini").write_text("[pytest]\naddopts = --another\n")
    for place in (strange, strange / "tests"):
        (place / "conftest.py").write_text('raise SystemExit("this conftest.py was read")\n')
    options = ("--precision", "float16", "--jobs", jobs)
    for name in ("empty", "strange"):
        done = run_pretended(tmp_path / name, *options, PYTEST_ADDOPTS="--yet-another -x")
        assert done.returncode == ExitCode.CLEAN, done.stdout + done.stderr
    assert recorded(strange) == recorded(tmp_path / "empty")
    assert len(recorded(strange)) == len(set(recorded(strange)))  # each case was tried once
    assert not list(tmp_path.rglob("__pycache__"))


def test_a_keyword_chooses_models_and_properties(tmp_path: Path) -> None:
    options = ("--precision", "float16", "--jobs", "1", "--verbose", "-k", "iris and n64 and bound")
    done = run_pretended(tmp_path, *options, PYTHONWARNINGS="always::ResourceWarning")
    assert "1 passed" in done.stdout
    assert "unclosed" not in done.stderr
    assert recorded(tmp_path) == ["iris-float16-n64-2.3.2-virtual"]


def test_a_keyword_that_chooses_nothing_is_wrong_usage(tmp_path: Path) -> None:
    done = run_pretended(tmp_path, "--jobs", "1", "-k", "nothing")
    assert done.returncode == ExitCode.USAGE


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return build_wheels(tmp_path_factory.mktemp("build"))


def test_the_wheel_carries_what_is_no_code(wheels: list[Path]) -> None:
    """Every file of the package that git knows, bar none."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "harness/src"], capture_output=True, text=True, check=True
    )
    expected = {line.removeprefix("harness/src/") for line in listed.stdout.splitlines()}
    (path,) = (path for path in wheels if path.name.startswith("rknn_harness"))
    with zipfile.ZipFile(path) as wheel:
        assert expected <= set(wheel.namelist())
    for name in ("suite/pytest.ini", "suite/test_conformance.py", "report/templates/report.html"):
        assert f"rknn_harness/{name}" in expected


@pytest.mark.timeout(1800)
def test_installed_wheels_run_the_suite_in_an_empty_folder(wheels: list[Path], tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "env"], cwd=tmp_path, check=True)
    python = tmp_path / "env" / "bin" / "python"
    subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", *wheels], check=True
    )
    # What they depend on is taken from this environment. Its own .pth files, which lead to the sources, are
    # not read in a folder that is named in one.
    (site,) = (tmp_path / "env" / "lib").glob("python3.*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    empty = tmp_path / "empty"
    empty.mkdir()
    result = subprocess.run(
        [python, "-c", "import rknn_harness, sklearn2rknn; print(rknn_harness.__file__)"],
        cwd=empty,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stdout.startswith(str(site))
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*options: str) -> list[CaseResult]:
        done = subprocess.run(
            [site.parents[2] / "bin" / "rknn-harness", "run", *options],
            cwd=empty,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == ExitCode.CLEAN, done.stdout + done.stderr
        lines = done.stdout.splitlines()
        assert len(lines) <= 60
        # A command or a path has a line of its own, however long it is.
        assert not [line for line in lines if len(line) > 80 and line.split()[0] not in ("report", "next")]
        (path,) = (empty / "runs").iterdir()
        results = list(read_run(path).results)
        shutil.rmtree(empty / "runs")
        return results

    suite = run("--seed", "0", "--max-cases", "3")
    assert {result.outcome for result in suite} <= {Outcome.PASS, Outcome.UNSUPPORTED}
    assert {result.case.kind for result in suite} == {"dataset", "family", "random"}
    assert not list(empty.iterdir())  # runs/ was all that was left behind
    estimator, X, _ = fitted("scaled")
    WRITERS["joblib"](estimator, empty / "mine.joblib")
    np.save(empty / "rows.npy", X)
    own = run("--model", "mine.joblib", "--rows", "rows.npy")
    assert [result.case.group for result in own] == ["mine", "mine"]
