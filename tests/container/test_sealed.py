"""What a job in a container can see and do, asked of a job in a real one."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from sklearn2rknn import Built, ConversionError, Toolkit
from sklearn2rknn.errors import LimitError, WorkerOutputError
from sklearn2rknn.toolkit.containers.container import ContainerEnvironment, ContainerWorker
from sklearn2rknn.toolkit.containers.image import Image
from tests.container.conftest import FAKE_TAG

if TYPE_CHECKING:
    import docker


def build(toolkit: Toolkit, order: str = "", timeout: float = 60.0) -> Built:
    return toolkit.build(b"onnx", config={"custom_string": order}, timeout=timeout)


def works(toolkit: Toolkit) -> bool:
    return bool(json.loads(build(toolkit, "plain").rknn) == {"order": "plain"})


def containers(engine: docker.DockerClient) -> set[str]:
    return {str(each.id) for each in engine.containers.list(all=True, filters={"ancestor": FAKE_TAG})}


@pytest.fixture
def seen(limited: Toolkit) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(build(limited, "look").rknn)
    return found


def test_there_is_no_network(seen: dict[str, Any]) -> None:
    assert seen["interfaces"] == ["lo"]
    assert seen["connect"] == "OSError"  # network unreachable


def test_the_root_is_not_writable(seen: dict[str, Any]) -> None:
    assert "done" not in seen["write"].values()
    root = next(line for line in seen["mounts"].splitlines() if line.split()[1] == "/")
    assert "ro" in root.split()[3].split(",")


def test_scratch_is_a_small_tmpfs(seen: dict[str, Any]) -> None:
    assert seen["scratch"] == "done"
    assert seen["cwd"].startswith("/tmp/")
    tmp = next(line.split() for line in seen["mounts"].splitlines() if line.split()[1] == "/tmp")
    assert tmp[2] == "tmpfs"
    assert {"rw", "nosuid", "nodev", "noexec", f"size={64 << 10}k"} <= set(tmp[3].split(","))


def test_a_job_cannot_change_its_input_nor_replace_its_output_folder(seen: dict[str, Any]) -> None:
    assert seen["write_input"] == "OSError"  # read-only file system
    assert seen["change_input"] == "OSError"
    assert seen["replace_output"] == "PermissionError"


@pytest.mark.parametrize("name", ["log.txt", "model.rknn", "simulated.npy"])
@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("link", "is a link, not a regular file. It was not read"),
        ("FIFO", "is a FIFO, not a regular file. It was not read"),
        ("large", "has 10000000000 bytes, more than"),
    ],
)
def test_what_is_no_file_of_a_result_is_refused_unread(
    limited: Toolkit, tmp_path: Path, name: str, kind: str, reason: str
) -> None:
    with pytest.raises(WorkerOutputError) as caught:
        limited.build(
            b"onnx",
            config={"custom_string": f"leave {kind} {name}"},
            simulate=np.ones((2, 3), np.float32),
        )
    assert f"{name} {reason}" in caught.value.reason
    assert list(tmp_path.iterdir()) == []
    assert works(limited)


def test_a_job_cannot_make_a_device(limited: Toolkit) -> None:
    with pytest.raises(ConversionError, match=r"release: PermissionError.*Operation not permitted"):
        build(limited, "leave device model.rknn")
    assert works(limited)


def test_it_is_nobody_without_capabilities(seen: dict[str, Any]) -> None:
    assert (seen["uid"], seen["gid"]) == (65534, 65534)
    assert set(seen["groups"]) <= {65534}
    assert {name: int(seen["status"][name], 16) for name in ("CapEff", "CapPrm", "CapBnd")} == {
        "CapEff": 0,
        "CapPrm": 0,
        "CapBnd": 0,
    }
    assert seen["status"]["NoNewPrivs"] == "1"
    assert seen["status"]["Seccomp"] == "2"
    assert seen["become_root"] == "PermissionError"
    assert not seen["engine_socket"]


def test_the_memory_limit_ends_a_job_and_the_next_runs(limited: Toolkit) -> None:
    assert works(limited)
    worker = limited._process
    with pytest.raises(LimitError, match="memory limit") as caught:
        build(limited, "memory")
    assert (caught.value.limit, caught.value.stage) == ("memory", "build")
    assert works(limited)
    assert limited._process is worker  # the worker itself lived on


def test_the_time_limit_ends_a_job_and_the_next_runs(limited: Toolkit) -> None:
    with pytest.raises(LimitError, match="longer than 1 s") as caught:
        build(limited, "hang", timeout=1.0)
    assert (caught.value.limit, caught.value.stage) == ("time", "build")
    assert works(limited)


def test_the_process_limit_fails_a_job_and_the_next_runs(limited: Toolkit) -> None:
    with pytest.raises(ConversionError, match="BlockingIOError"):
        build(limited, "processes")
    assert works(limited)


def test_the_scratch_limit_fails_a_job_and_the_next_runs(limited: Toolkit) -> None:
    with pytest.raises(ConversionError, match="No space left"):
        build(limited, "scratch")
    assert works(limited)


def test_a_killed_container_is_replaced(limited: Toolkit) -> None:
    assert works(limited)
    assert isinstance(limited._process, ContainerWorker)
    limited._process.container.kill()
    with contextlib.suppress(ConversionError):  # when it notices the end only while it waits for an answer
        build(limited)
    assert works(limited)


def test_closing_leaves_nothing(fake_image: Image, engine: docker.DockerClient, tmp_path: Path) -> None:
    before = containers(engine)
    with Toolkit(ContainerEnvironment("2.3.2", fake_image), jobs=tmp_path) as toolkit:
        assert works(toolkit)
        assert len(containers(engine) - before) == 1
        assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.iterdir())
    assert_gone(engine, before)


def test_a_killed_client_leaves_no_container(
    fake_image: Image, engine: docker.DockerClient, tmp_path: Path
) -> None:
    before = containers(engine)
    program = (
        "import sys, os, signal\n"
        "from sklearn2rknn import Toolkit\n"
        "from sklearn2rknn.toolkit.containers.container import ContainerEnvironment\n"
        "from sklearn2rknn.toolkit.containers.image import Image\n"
        "place = ContainerEnvironment('2.3.2', Image('2.3.2', sys.argv[1], '', 0))\n"
        "toolkit = Toolkit(place, jobs=sys.argv[2])\n"
        "toolkit.build(b'onnx', config={'custom_string': ''})\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, fake_image.id, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert_gone(engine, before)


def test_jobs_pass_whatever_the_umask(limited: Toolkit) -> None:
    before = os.umask(0o077)
    try:
        assert works(limited)
    finally:
        os.umask(before)


def assert_gone(engine: docker.DockerClient, before: set[str]) -> None:
    for _ in range(200):
        if not containers(engine) - before:
            return
        time.sleep(0.1)
    raise AssertionError(f"containers are left: {containers(engine) - before}")
