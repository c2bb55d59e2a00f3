"""What a worker leaves and answers is not trusted: typed errors, nothing read, nothing changed."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sklearn2rknn import Built, ConversionError, Toolkit
from sklearn2rknn.errors import WorkerOutputError
from sklearn2rknn.toolkit.job_folders import JobFolders, WorkerFolders
from sklearn2rknn.toolkit.venv import ToolkitEnvironment
from sklearn2rknn.toolkit.worker_answers import ANSWER_LIMIT, Answer, parse_outputs

HOSTILE = Path(__file__).with_name("hostile_worker.py")
NAMES = ("log.txt", "model.rknn", "simulated.npy")
REASONS = {
    "link": "is a link, not a regular file. It was not read",
    "FIFO": "is a FIFO, not a regular file. It was not read",
    "large file": "has 10000000000 bytes, more than",
    "device": "is a device, not a regular file. It was not read",
    "socket": "is a socket, not a regular file. It was not read",
    "folder": "is a folder, not a regular file. It was not read",
    "nested folders": "is a folder, not a regular file. It was not read",
}


@pytest.fixture
def toolkit(tmp_path: Path) -> Iterator[Toolkit]:
    (tmp_path / "jobs").mkdir()
    environment = ToolkitEnvironment("0.0.0", (sys.executable, str(HOSTILE)), "test", "", tmp_path)
    with Toolkit(environment, jobs=tmp_path / "jobs") as toolkit:
        yield toolkit
    assert list((tmp_path / "jobs").iterdir()) == []


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_bytes(b"a secret of this machine")
    path.chmod(0o640)
    os.utime(path, ns=(10**18, 10**18))
    return path


def build(toolkit: Toolkit, **order: Any) -> Built:
    return toolkit.build(
        b"onnx", config={"custom_string": json.dumps(order)}, simulate=np.ones((2, 5), np.float32)
    )


def works(toolkit: Toolkit) -> bool:
    built = build(toolkit)
    assert built.simulated is not None
    return built.rknn == b"RKNN" and built.log == "I fine" and built.simulated.tolist() == [[1.0] * 3] * 2


def state(path: Path) -> tuple[object, ...]:
    """Return what would have changed, had someone read or changed the file."""
    found = path.stat()
    return path.name, found.st_mode, found.st_size, found.st_mtime_ns, found.st_atime_ns, found.st_ctime_ns


@pytest.mark.parametrize("kind", REASONS)
@pytest.mark.parametrize("name", NAMES)
def test_what_is_no_file_of_a_result_is_refused_unread(
    toolkit: Toolkit, secret: Path, name: str, kind: str
) -> None:
    if kind == "device" and os.geteuid() != 0:
        pytest.skip("needs root, to make a device node")
    before = state(secret)
    with pytest.raises(WorkerOutputError) as caught:
        build(toolkit, name=name, kind=kind, target=str(secret))
    assert f"{name} {REASONS[kind]}" in caught.value.reason
    assert "secret of" not in str(caught.value)
    assert state(secret) == before
    assert works(toolkit)


@pytest.mark.parametrize("name", NAMES)
def test_an_output_folder_that_became_a_link_is_not_followed(
    toolkit: Toolkit, tmp_path: Path, name: str
) -> None:
    others = tmp_path / "others"
    others.mkdir()
    (others / name).write_bytes(b"not the worker's")
    before = state(others / name)
    order = {"kind": "link to a folder", "name": name, "target": str(others)}
    if name == "log.txt":
        assert "worker's" not in build(toolkit, **order).log
    else:
        with pytest.raises(WorkerOutputError, match=f"{name} is missing"):
            build(toolkit, **order)
    assert state(others / name) == before
    assert sorted(others.iterdir()) == [others / name]


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_missing_result_is_refused(toolkit: Toolkit, name: str) -> None:
    with pytest.raises(WorkerOutputError, match=f"{name} is missing"):
        build(toolkit, name=name)
    assert works(toolkit)


def test_a_failed_job_with_a_fifo_for_a_log_is_refused_too(toolkit: Toolkit) -> None:
    with pytest.raises(WorkerOutputError, match=r"log\.txt is a FIFO"):
        build(toolkit, name="log.txt", kind="FIFO", answer={"ok": False, "kind": "timeout"})


def npy(array: Any, save: Callable[..., None] = np.save) -> bytes:
    file = io.BytesIO()
    save(file, array)
    return file.getvalue()


GOOD = npy(np.ones((2, 3), np.float32))
ARRAYS = {
    "objects": npy(np.array([[{}], [{}]], dtype=object)),
    "float64": npy(np.ones((2, 3))),
    "Fortran's order": npy(np.asfortranarray(np.ones((2, 3), np.float32))),
    "another number of runs": npy(np.ones((3, 3), np.float32)),
    "no axis": npy(np.float32(1)),
    "an archive": npy(np.ones((2, 3), np.float32), np.savez),
    "a huge shape": GOOD.replace(b"(2, 3)", b"(2, 999999999)").replace(b" " * 8 + b"\n", b"\n"),
    "half of it": GOOD[:-1],
    "more than it": GOOD + b"0",
    "a long header": GOOD[:8] + b"\xff\xff" + GOOD[10:],
    "code": GOOD.replace(b"(2, 3)", b"exit()"),
    "brackets": GOOD[:10] + b"(" * 400,
    "nothing": b"",
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_what_is_no_array_of_the_outputs_is_refused(toolkit: Toolkit, kind: str) -> None:
    with pytest.raises(WorkerOutputError, match=r"simulated\.npy"):
        build(toolkit, name="simulated.npy", content=ARRAYS[kind].hex())


@pytest.mark.parametrize("shape", [(2,), (2, 3), (2, 1, 8, 2, 1), (2, 0)])
def test_what_numpy_saves_is_read(shape: tuple[int, ...]) -> None:
    array = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    assert np.array_equal(parse_outputs(npy(array), 2), array)


ANSWERS: dict[str, dict[str, Any]] = {
    "no JSON": {"line": "no JSON"},
    "an array": {"line": "[1]"},
    "lists in lists": {"line": "[" * (ANSWER_LIMIT // 2)},
    "no end": {"line": "x", "times": 10 * ANSWER_LIMIT},
    "another request's": {"answer": {"id": 7}},
    "a text for ok": {"answer": {"ok": "yes"}},
    "a list for kind": {"answer": {"ok": False, "kind": ["timeout"]}},
    "a number for reason": {"answer": {"ok": False, "reason": 3}},
    "endless seconds": {"answer": {"seconds": float("inf")}},
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_what_is_no_answer_ends_the_worker(toolkit: Toolkit, kind: str) -> None:
    with pytest.raises(ConversionError, match="ended or did not answer"):
        build(toolkit, **ANSWERS[kind])
    assert works(toolkit)


def test_text_of_a_worker_is_printed_without_control_characters(toolkit: Toolkit) -> None:
    with pytest.raises(ConversionError) as caught:
        build(
            toolkit,
            name="log.txt",
            content=b"E \x1b]0;title\x07 \x1b[2J".hex(),
            answer={"ok": False, "stage": "\x1b[2Jbuild", "reason": "\x07\x9b2J"},
        )
    assert all(each.isprintable() or each == "\n" for each in str(caught.value))


def test_an_answer_is_read() -> None:
    line = b'{"id": 1, "ok": false, "stage": "s", "kind": "k", "reason": "r", "seconds": 0.25, "more": 1}'
    assert Answer.parse(line) == Answer(1, False, "s", "k", "r", 0.25)


def test_a_file_that_gives_more_than_its_size_is_refused() -> None:
    proc = Path("/proc/self")  # its files have 0 bytes and give more
    descriptor = os.open(proc, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with pytest.raises(WorkerOutputError, match="status changed while it was read"):
            JobFolders(proc, proc, descriptor).read("status", 1 << 20)
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_permissions_of_job_folders_do_not_depend_on_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        folders = WorkerFolders(tmp_path)
        with folders.job() as job:
            with job.create("model.onnx") as file:
                file.write(b"onnx")
            modes = [
                path.stat().st_mode & 0o7777
                for path in (
                    folders.input.parent,
                    folders.input,
                    folders.output,
                    job.input,
                    job.output,
                    job.input / "model.onnx",
                )
            ]
        folders.remove()
    finally:
        os.umask(before)
    assert modes == [0o700, 0o755, 0o1777, 0o755, 0o777, 0o644]
