"""A bundle that is written over another is the old one or the new one, whatever happens meanwhile."""

from __future__ import annotations

import json
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neural_network import MLPClassifier

from scirknn import BundleFormatError
from scirknn.bundle import Bundle, metadata_path, read_bundle, write_bundle
from scirknn.bundle.contents import Variant
from scirknn.files import sha256_of_bytes
from tests.counts import counted
from tests.device_runtime.conftest import MakeBundle

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

OLD, NEW = b"old", b"new" * 100_000


@pytest.fixture
def bundle(make_bundle: MakeBundle) -> Bundle:
    X = np.random.default_rng(0).normal(size=(30, 4))
    return read_bundle(make_bundle(MLPClassifier((6,), max_iter=3).fit(X, np.arange(30) % 3), (1, 8)))


def written(bundle: Bundle, content: bytes, batch_sizes: tuple[int, ...] = (1, 8)) -> Bundle:
    """Write the bundle with such model files, which differ by their batch size."""
    names = {size: "model.rknn" if size == batch_sizes[0] else f"model.n{size}.rknn" for size in batch_sizes}
    models = {name: content + str(size).encode() for size, name in names.items()}
    variants = tuple(Variant(names[size], size, sha256_of_bytes(models[names[size]])) for size in batch_sizes)
    new = replace(bundle, variants=variants)
    write_bundle(new, models)
    return new


def killed_at(step: int, function: Callable[[], Any]) -> bool:
    """Run in a child that is killed at its step-th change of a file; say whether it came so far."""
    child = os.fork()
    if not child:
        left = step

        def count(event: str, arguments: Any) -> None:
            nonlocal left
            changes = event in ("os.rename", "os.remove") or (event == "open" and "x" in str(arguments[1]))
            if changes:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            function()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def is_whole(path: Path) -> bytes:
    """Return what the bundle's first file begins with; every file is read and its digest checked."""
    read_bundle(path)
    content = path.read_bytes()
    assert path.with_name("model.n8.rknn").read_bytes()[:-1] == content[:-1]
    return content[:3]


def test_after_a_kill_at_any_step_one_bundle_is_whole(bundle: Bundle) -> None:
    found = []
    for step in range(100):
        written(bundle, OLD)
        if not killed_at(step, lambda: written(bundle, NEW)):
            break
        found.append(is_whole(bundle.path))
        written(bundle, NEW)
        assert is_whole(bundle.path) == b"new"
        assert sorted(file.name for file in bundle.path.parent.iterdir()) == [
            "model.n8.rknn",
            "model.rknn",
            "model.rknn.json",
        ]
    assert 5 < len(found) < 100
    # The journal is where it turns: all before it are the old one, all after it the new one.
    turn = found.index(b"new")
    assert found == [b"old"] * turn + [b"new"] * (len(found) - turn)


def test_writers_of_one_path_leave_one_whole_bundle(bundle: Bundle) -> None:
    for _ in range(counted(60)):
        children = []
        for content in (OLD, NEW):
            if not (child := os.fork()):
                try:
                    written(bundle, content)
                finally:
                    os._exit(0)
            children.append(child)
        assert [os.waitpid(child, 0)[1] for child in children] == [0, 0]
        is_whole(bundle.path)


def test_threads_that_write_to_one_path_leave_one_whole_bundle(bundle: Bundle) -> None:
    errors: list[BaseException] = []

    def write(content: bytes) -> None:
        try:
            written(bundle, content)
        except BaseException as error:
            errors.append(error)

    for _ in range(counted(60)):
        threads = [threading.Thread(target=write, args=(content,)) for content in (OLD, NEW)]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            read_bundle(bundle.path)
        for thread in threads:
            thread.join()
        assert errors == []
        is_whole(bundle.path)


def test_a_failed_write_leaves_the_old_bundle_and_nothing_else(
    bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    written(bundle, OLD)
    before = sorted(bundle.path.parent.iterdir())

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        written(bundle, NEW)
    monkeypatch.undo()
    assert is_whole(bundle.path) == b"old"
    assert sorted(bundle.path.parent.iterdir()) == before


def test_links_and_permissions_stay(bundle: Bundle, tmp_path: Path) -> None:
    written(bundle, OLD)
    place = tmp_path / "elsewhere"
    place.mkdir()
    moved = bundle.path.rename(place / "kept.rknn")
    moved.chmod(0o640)
    bundle.path.symlink_to(moved)
    written(bundle, NEW)
    assert bundle.path.is_symlink()
    assert moved.read_bytes()[:3] == b"new"
    assert stat.S_IMODE(moved.stat().st_mode) == 0o640
    assert [file.name for file in place.iterdir()] == ["kept.rknn"]


def test_a_file_of_another_bundle_is_not_replaced(bundle: Bundle) -> None:
    written(bundle, OLD)
    other = replace(
        bundle,
        path=bundle.path.with_name("model.n8.rknn"),
        variants=(Variant("model.n8.rknn", 1, sha256_of_bytes(b"other")),),
    )
    with pytest.raises(FileExistsError, match=r"model\.n8\.rknn belongs to the bundle model\.rknn"):
        write_bundle(other, {"model.n8.rknn": b"other"})
    assert is_whole(bundle.path) == b"old"


@pytest.mark.parametrize(
    "journal",
    [
        b"",
        b"[]",
        b"{",
        b'{"other.rknn": [".x", "0"]}',
        b'{"model.rknn": ["../../x", "0"]}',
        b'{"model.rknn": [".scirknn-", 0]}',
        b'{"model.rknn/../../x": ["%PREFIX%a", "0"]}',
    ],
)
def test_a_journal_that_is_none_renames_nothing(bundle: Bundle, journal: bytes) -> None:
    written(bundle, OLD)
    assert killed_at(2, lambda: written(bundle, NEW))
    prefix = next(file.name for file in bundle.path.parent.glob(".scirknn-*")).split(".")[1]
    place = bundle.path.with_name(f".{prefix}-journal")
    place.write_bytes(journal.replace(b"%PREFIX%", f".{prefix}.".encode()))
    with pytest.raises(BundleFormatError, match="is no journal of a bundle"):
        read_bundle(bundle.path)
    assert bundle.path.read_bytes()[:3] == b"old"


def journal_of_a_killed_writer(bundle: Bundle) -> dict[str, tuple[str, str]]:
    """Kill a writer of the new bundle as soon as its journal is there, and return that."""
    for step in range(100):
        assert killed_at(step, lambda: written(bundle, NEW))
        journals = list(bundle.path.parent.glob(".scirknn-*-journal"))
        if journals:
            break
    found: dict[str, tuple[str, str]] = json.loads(journals[0].read_text())
    return found


def test_a_new_file_that_is_not_the_listed_one_is_refused(bundle: Bundle) -> None:
    written(bundle, OLD)
    name, (new, _) = next(iter(journal_of_a_killed_writer(bundle).items()))
    bundle.path.with_name(new).write_bytes(b"changed")
    with pytest.raises(BundleFormatError, match="is not the file that"):
        read_bundle(bundle.path)
    assert name in ("model.rknn", "model.n8.rknn", "model.rknn.json")
    assert metadata_path(bundle.path).exists()


def test_a_link_in_place_of_a_new_file_replaces_nothing(bundle: Bundle, tmp_path: Path) -> None:
    (elsewhere := tmp_path / "elsewhere").mkdir()
    written(bundle, OLD)
    for new, _ in journal_of_a_killed_writer(bundle).values():
        file = bundle.path.with_name(new)
        if file.exists():
            file.symlink_to(file.rename(elsewhere / new))
    assert is_whole(bundle.path) == b"old"
    assert not any(file.is_symlink() for file in bundle.path.parent.iterdir())
