"""A job of the toolkit while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from sklearn2rknn.errors import ConversionError
from sklearn2rknn.toolkit.building import Building, Limits
from sklearn2rknn.toolkit.job_folders import JobFolders, WorkerFolders
from sklearn2rknn.toolkit.worker_answers import Answer


class Writer:
    """Writes one more part of the model file each time that it is asked whether it has answered."""

    def __init__(self, folders: JobFolders, parts: list[bytes]) -> None:
        self.file, self.parts = folders.output / "model.rknn", parts
        self.received = 0

    def has_answer(self, seconds: float) -> bool:
        if not self.parts:
            return True
        with self.file.open("ab") as file:
            file.write(self.parts.pop(0))
        return False

    def receive(self, seconds: float) -> Answer:
        self.received += 1
        return Answer(id=1, ok=False, stage="inference", kind="returned", reason="it returned 1", seconds=0.1)


def test_a_file_is_seen_while_it_grows_and_the_answer_is_received_once(tmp_path: Path) -> None:
    folders = WorkerFolders(tmp_path)
    with folders.job() as job:
        worker = Writer(job, [b"RK", b"NN", b"!"])
        building = Building(worker, job, Limits(5.0, 100, runs=1))
        assert list(building.early_files()) == [b"RK", b"RKNN", b"RKNN!"]
        with pytest.raises(ConversionError, match="it returned 1"):
            building.result()
        assert worker.received == 1
    folders.remove()


def test_a_file_that_nothing_is_simulated_of_is_not_watched(tmp_path: Path) -> None:
    folders = WorkerFolders(tmp_path)
    with folders.job() as job:
        assert not list(Building(Writer(job, [b"RK"]), job, Limits(5.0, 100, runs=None)).early_files())
    folders.remove()


def test_a_file_larger_than_its_limit_is_not_yielded(tmp_path: Path) -> None:
    folders = WorkerFolders(tmp_path)
    with folders.job() as job:
        building = Building(Writer(job, [b"RK", b"NN"]), job, Limits(5.0, 3, runs=1))
        assert list(building.early_files()) == [b"RK"]
    folders.remove()
