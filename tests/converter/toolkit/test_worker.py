"""The worker and its client when the toolkit fails, with a fake toolkit that fails on order."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest

from sklearn2rknn import Built, ConversionError, OptionError, Toolkit, ToolkitError, open_toolkit
from sklearn2rknn.toolkit.log_lines import clean_log, error_lines
from sklearn2rknn.toolkit.toolkit import ISOLATIONS
from sklearn2rknn.toolkit.venv import ToolkitEnvironment
from sklearn2rknn.toolkit.worker_path import WORKER

FAKE = Path(__file__).with_name("fake_toolkit")


def fake_toolkit(
    jobs: Path, variables: Mapping[str, str] | None = None, *command: str, isolation: str = "failure"
) -> Toolkit:
    environment = ToolkitEnvironment(
        version="0.0.0",
        command=command or (sys.executable, str(WORKER)),
        kind="test",
        lock_sha256="",
        path=jobs,
    )
    return Toolkit(
        environment,
        jobs=jobs,
        variables={"PYTHONPATH": str(FAKE), **(variables or {})},
        isolation=isolation,
    )


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toolkit]:
    with fake_toolkit(tmp_path_factory.mktemp("jobs with spaces")) as toolkit:
        yield toolkit


def build(toolkit: Toolkit, fault: str = "", *, timeout: float = 30.0) -> Built:
    return toolkit.build(
        b"onnx",
        config={"target_platform": "rk3588", "custom_string": fault},
        calibration=np.ones((3, 1, 8, 2, 1), np.float32),
        simulate=np.ones((4, 1, 8, 2, 1), np.float32),
        timeout=timeout,
    )


def test_build_returns_file_simulation_and_log(toolkit: Toolkit) -> None:
    built = build(toolkit)
    assert built.rknn == b"RKNNonnx48.0"
    assert built.simulated is not None
    assert built.simulated.shape == (4, 1, 8, 2, 1)
    assert (built.simulated == 2).all()
    assert "I rknn export_rknn" in built.log


def test_a_value_too_large_for_its_register_is_an_error_though_the_toolkit_returns_a_file(
    toolkit: Toolkit,
) -> None:
    with pytest.raises(ConversionError, match="1 values are too large for their registers") as caught:
        build(toolkit, "build:over wide")
    assert "REGTASK: The bit width of field value exceeds the limit" in caught.value.log
    assert build(toolkit).rknn


def test_without_calibration_and_simulation(toolkit: Toolkit) -> None:
    built = toolkit.build(b"onnx", config={})
    assert built.rknn == b"RKNNonnx0.0"
    assert built.simulated is None


STAGES = ("config", "load_onnx", "build", "export_rknn", "init_runtime", "inference")


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("raise", "ValueError: the model is invalid!"),
        ("minus one", "returned"),
        ("segv", "its process died of SIGSEGV"),
        ("abort", "its process died of SIGABRT"),
        ("exit", "its process ended itself with exit code 1"),
        ("system exit", "its process ended itself with exit code"),
    ],
)
def test_each_failure_is_told_with_stage_reason_and_log(
    toolkit: Toolkit, stage: str, fault: str, said: str
) -> None:
    with pytest.raises(ConversionError) as caught:
        build(toolkit, f"{stage}:{fault}")
    assert caught.value.stage == stage
    assert said in caught.value.reason
    assert f"E {stage}: something is wrong" in caught.value.log
    assert build(toolkit).rknn == b"RKNNonnx48.0"  # and it goes on


def test_hang_is_ended_with_what_it_started(toolkit: Toolkit) -> None:
    with pytest.raises(ConversionError) as caught:
        build(toolkit, "build:hang", timeout=0.5)
    assert caught.value.stage == "build"
    assert "longer than 0.5 s" in caught.value.reason
    sleeper = Path("/proc", caught.value.log.split()[-1], "stat")
    for _ in range(100):  # the kernel may take its time
        if not sleeper.exists() or sleeper.read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        pytest.fail("what the toolkit started outlived it")
    assert build(toolkit).rknn


def process(built: Built) -> int:
    """Return the process that a job ran in."""
    return int(next(line for line in built.log.splitlines() if line.startswith("I process")).split()[-1])


def test_jobs_share_a_process_until_one_fails(toolkit: Toolkit) -> None:
    first = process(build(toolkit))
    assert process(build(toolkit)) == first
    with pytest.raises(ConversionError):
        build(toolkit, "build:raise")
    assert process(build(toolkit)) != first


def test_process_that_has_grown_is_replaced(toolkit: Toolkit) -> None:
    build(toolkit)  # what the first job keeps is no growth
    first = process(build(toolkit))
    assert process(build(toolkit, "build:hoard")) == first
    assert process(build(toolkit)) != first


def test_process_that_died_between_jobs_is_replaced(toolkit: Toolkit) -> None:
    first = process(build(toolkit))
    os.kill(first, signal.SIGKILL)
    for _ in range(100):  # the kernel may take its time
        if Path(f"/proc/{first}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    assert process(build(toolkit)) != first


def test_each_job_has_a_fresh_process_where_owners_share_a_toolkit(tmp_path: Path) -> None:
    with fake_toolkit(tmp_path, isolation="job") as toolkit:
        processes = [process(build(toolkit)) for _ in range(3)]
        assert len(set(processes)) == 3
        for each in processes:
            with pytest.raises(ProcessLookupError):
                os.kill(each, 0)


def test_an_unknown_isolation_is_refused() -> None:
    with pytest.raises(OptionError, match="isolation is 'thread'; it can be failure or job"):
        open_toolkit("2.3.2@venv", isolation="thread")


def test_long_reason_is_cut(toolkit: Toolkit) -> None:
    with pytest.raises(ConversionError) as caught:
        build(toolkit, "build:long")
    assert len(caught.value.reason) <= 2000


def test_a_job_leaves_nothing_and_a_closed_toolkit_nothing_at_all(tmp_path: Path) -> None:
    with fake_toolkit(tmp_path) as toolkit:
        build(toolkit)
        for fault in ("build:raise", "build:segv", "build:exit"):
            with pytest.raises(ConversionError):
                build(toolkit, fault)
        assert [path.name for path in sorted(tmp_path.glob("*/*/**/*"))] == ["input", "output", "scratch"]
    assert list(tmp_path.iterdir()) == []


def _worker_pid(toolkit: Toolkit) -> int:
    assert isinstance(toolkit._process, subprocess.Popen)
    return toolkit._process.pid


def test_worker_that_dies_between_jobs_is_replaced(tmp_path: Path) -> None:
    with fake_toolkit(tmp_path) as toolkit:
        build(toolkit)
        first = _worker_pid(toolkit)
        os.kill(first, signal.SIGKILL)
        with contextlib.suppress(ConversionError):  # it may not be known dead yet: then this job says so
            build(toolkit)
        build(toolkit)
        assert _worker_pid(toolkit) != first


def test_worker_that_dies_in_a_job_is_told_and_replaced(tmp_path: Path) -> None:
    with fake_toolkit(tmp_path) as toolkit:
        build(toolkit)
        killer = threading.Timer(0.5, os.kill, (_worker_pid(toolkit), signal.SIGTERM))
        killer.start()
        with pytest.raises(ConversionError) as caught:
            build(toolkit, "build:hang", timeout=20.0)
        killer.join()
        assert caught.value.stage == "worker"
        assert build(toolkit).rknn


def test_close_ends_the_worker_and_a_build_starts_another(tmp_path: Path) -> None:
    toolkit = fake_toolkit(tmp_path)
    build(toolkit)
    pid = _worker_pid(toolkit)
    toolkit.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    build(toolkit)
    toolkit.close()
    toolkit.close()


def test_a_toolkit_that_cannot_be_imported_is_a_toolkit_error(tmp_path: Path) -> None:
    toolkit = fake_toolkit(tmp_path, {"FAKE_IMPORT_ERROR": "1"})
    with pytest.raises(ToolkitError, match=r"does not start: ImportError: No module named 'cv2'.*made again"):
        build(toolkit)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("no-such-program",), "cannot be started"),
        (("true",), "does not start: it ended"),
        (("echo", "not JSON"), "does not start"),
        (("echo", "[]"), "does not start"),
    ],
)
def test_a_program_that_is_no_worker_is_a_toolkit_error(
    tmp_path: Path, command: tuple[str, ...], said: str
) -> None:
    with fake_toolkit(tmp_path, {}, *command) as toolkit, pytest.raises(ToolkitError, match=said):
        build(toolkit)


def test_a_job_that_is_left_does_not_answer_the_next(toolkit: Toolkit) -> None:
    with pytest.raises(KeyboardInterrupt), toolkit.start(b"build:hang", config={}):
        raise KeyboardInterrupt
    assert build(toolkit).rknn == b"RKNNonnx48.0"


def test_threads_take_turns(toolkit: Toolkit) -> None:
    results: list[bytes] = []
    threads = [threading.Thread(target=lambda: results.append(build(toolkit).rknn)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [b"RKNNonnx48.0"] * 4


def test_jobs_are_given_cleared_memory(toolkit: Toolkit) -> None:
    # The toolkit writes memory that it has not filled into its files.
    for _ in range(2):  # in a fresh process, and in one that has used its memory
        assert "I fresh memory {0}" in build(toolkit).log


def test_programs_that_the_toolkit_starts_cost_a_job_nothing(tmp_path: Path) -> None:
    started, program = tmp_path / "started", tmp_path / "file"
    report = 'echo "cleared ${MALLOC_PERTURB_-no} ${GLIBC_TUNABLES-no}"'
    program.write_text(f"#!/bin/sh\n{report} >> {started}\necho ELF 64-bit\n")
    program.chmod(0o755)
    variables = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    for isolation in ISOLATIONS:
        with fake_toolkit(tmp_path, variables, isolation=isolation) as toolkit:
            build(toolkit)
            build(toolkit)
    assert started.read_text() == "cleared no no\n" * len(ISOLATIONS)  # once a worker, before its jobs


def test_log_loses_colours_and_progress() -> None:
    log = (
        "\x1b[32mI rknn building ...\x1b[0m\nI Graph :  0%|   | 0/5\rI Graph : 100%|###| 5/5\n\nW a warning\n"
    )
    assert clean_log(log) == "I rknn building ...\nW a warning"


def test_error_lines_leave_out_what_every_good_build_prints() -> None:
    log = "I fine\nE RKNN: [10:00] Unkown op target: 0\nE build: bias too small\nValueError: no"
    assert error_lines(log) == "E build: bias too small\nValueError: no"
    assert error_lines("one\ntwo\nthree\nfour") == "two\nthree\nfour"


def test_worker_imports_nothing_from_its_own_folder() -> None:
    # A module there named like one of the toolkit's would take its place.
    names = {path.stem for path in WORKER.parent.glob("*.py")}
    assert "verification" in names
    with tempfile.TemporaryDirectory() as folder, fake_toolkit(Path(folder)) as toolkit:
        assert build(toolkit).rknn
