"""What cannot be read or written ends in a message and the documented exit code, never in a traceback."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scirknn.cli.commands import main
from tests.device_runtime.conftest import MakeBundle
from tests.device_runtime.estimators.test_estimator import fitted

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.ones((3, 5))


def _saved(values: Any) -> Callable[[Path], Any]:
    return lambda path: np.save(path, values)


def _bytes(data: bytes) -> Callable[[Path], Any]:
    return lambda path: path.write_bytes(data)


def _archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", b"")


def _cut(path: Path) -> None:
    np.save(path, X)
    path.write_bytes(path.read_bytes()[:150])


INPUTS: dict[str, tuple[str, Callable[[Path], Any], str]] = {
    "empty array file": ("x.npy", _bytes(b""), "x.npy is no .npy file of numbers"),
    "array file cut short": ("x.npy", _cut, "x.npy is no .npy file of numbers"),
    "archive of arrays": ("x.npy", _archive, "x.npy is no .npy file of numbers"),
    "damaged archive": ("x.npy", _bytes(b"PK\x03\x04junk"), "x.npy is no .npy file of numbers"),
    "text as array": ("x.npy", _bytes(b"1,2,3,4,5\n"), "x.npy is no .npy file of numbers"),
    "array of objects": ("x.npy", _saved(np.array([[1, "a", 2, 3, 4]], object)), "x.npy is no .npy file"),
    "array of dates": ("x.npy", _saved(np.zeros((3, 5), "M8[s]")), "X has dtype datetime64[s]"),
    "array of durations": ("x.npy", _saved(np.zeros((3, 5), "m8[s]")), "X has dtype timedelta64[s]"),
    "array of texts": ("x.npy", _saved(np.full((3, 5), "x")), "not compatible with arrays of bytes/strings"),
    "array of bytes": ("x.npy", _saved(np.full((3, 5), b"1")), "not compatible with arrays of bytes/strings"),
    "array of complex numbers": ("x.npy", _saved(X * 1j), "Complex data not supported"),
    "array of records": ("x.npy", _saved(np.zeros(3, [("a", "f8")])), "Expected 2D array"),
    "number": ("x.npy", _saved(np.float64(3)), "Expected 2D array"),
    "array without rows": ("x.npy", _saved(X[:0]), "Found array with 0 sample(s)"),
    "array of NaN": ("x.npy", _saved(X * np.nan), "Input X contains NaN"),
    "empty table": ("x.csv", _bytes(b""), "x.csv is empty"),
    "table of a header": ("x.csv", _bytes(b"a,b,c,d,e\n"), "a header and no rows"),
    "binary table": ("x.csv", _bytes(bytes(range(256))), "x.csv is no UTF-8 text"),
    "table with a null": ("x.csv", _bytes(b"1,2,\0,4,5\n"), "line 1, column 3"),
    "table of a huge cell": ("x.csv", _bytes(b"1,2,3,4," + b"5" * 200_000), "field larger than field limit"),
    "table that commands a terminal": ("x.csv", _bytes(b"1,2,\x1b[2J,4,5\n"), "line 1, column 3"),
    "ragged table": ("x.csv", _bytes(b"1,2,3,4,5\n1,2\n"), "line 2: 2 cells"),
    "folder": ("x.csv", lambda path: path.mkdir(), "Is a directory"),
    "nothing": ("x.csv", lambda path: None, "No such file or directory"),
}


@pytest.mark.parametrize("case", INPUTS)
def test_rows_that_are_none_end_in_a_message(
    case: str, make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, write, expected = INPUTS[case]
    write(tmp_path / name)
    bundle = str(make_bundle(fitted("softmax")))
    for command in (
        ["predict", bundle, str(tmp_path / name), str(tmp_path / "y.csv")],
        ["bench", bundle, "--input", str(tmp_path / name), "--seconds", "0"],
    ):
        assert main(command) == 1
        shown = capsys.readouterr().err
        assert expected in shown
        assert "\x1b" not in shown
    assert not (tmp_path / "y.csv").exists()


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("folder", "Is a directory"),
        ("missing/y.csv", "missing/y.csv"),
        ("y" * 252 + ".csv", "File name too long"),
        ("x.npy/y.csv", "Not a directory"),
    ],
)
def test_place_that_cannot_be_written_is_named_and_no_temporary_file(
    output: str, expected: str, make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "x.npy", X)
    bundle = str(make_bundle(fitted("softmax")))
    assert main(["predict", bundle, str(tmp_path / "x.npy"), str(tmp_path / output)]) == 1
    shown = capsys.readouterr().err
    assert expected in shown
    assert ".part" not in shown


@pytest.mark.parametrize(
    "model", ["missing.rknn", "folder", "x.npy", "m\udcff\x1b.rknn", "m" * 300 + ".rknn", "empty.rknn"]
)
def test_model_that_is_none_is_named(model: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "folder").mkdir()
    np.save(tmp_path / "x.npy", X)
    (tmp_path / "empty.rknn").touch()
    (tmp_path / "empty.rknn.json").touch()
    for command in (["info"], ["predict"], ["bench"], ["doctor"]):
        rest = [str(tmp_path / "x.npy")] if command == ["predict"] else []
        assert main([*command, str(tmp_path / model), *rest]) == 1
        shown = capsys.readouterr().err
        assert shown.startswith("scirknn: ")
        assert "\x1b" not in shown


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("stream", "shown"), [(_Terminal, "a\ufffd[2J"), (io.StringIO, "a\x1b[2J")])
def test_labels_command_no_terminal_and_reach_programs_as_they_are(
    stream: type[io.StringIO],
    shown: str,
    make_bundle: MakeBundle,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    estimator = fitted("softmax")
    labels = np.array(["a\x1b[2J"] + [f"b{number}" for number in range(1, len(estimator.classes_))])
    monkeypatch.setattr(estimator, "classes_", labels)
    np.save(tmp_path / "x.npy", X)
    output = stream()
    monkeypatch.setattr(sys, "stdout", output)
    assert main(["predict", str(make_bundle(estimator)), str(tmp_path / "x.npy"), "--proba"]) == 0
    assert output.getvalue().startswith(f"p({shown}),p(b1)")


@pytest.mark.parametrize("command", [["info"], ["info", "--json"]])
def test_full_disk_and_closed_pipe_end_without_a_traceback(
    command: list[str], make_bundle: MakeBundle
) -> None:
    bundle = str(make_bundle(fitted("softmax")))
    program = [sys.executable, "-m", "scirknn", *command, bundle]
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "scirknn: [Errno 28] No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(program, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, "")
