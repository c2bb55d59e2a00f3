"""``python -m sklearn2rknn``."""

from __future__ import annotations

import inspect
import json
import os
import pickle
import re
import subprocess
import sys
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from scirknn.bundle import read_bundle
from sklearn2rknn import ConversionOptions, ExampleInputError, Toolkit, convert
from sklearn2rknn.__main__ import main
from sklearn2rknn.estimators.network_from_estimator import network_from_estimator
from sklearn2rknn.rows.example_input import read_rows
from tests.converter.fitted import fit


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    estimator, X = fit("softmax")
    (tmp_path / "iris.pkl").write_bytes(pickle.dumps(estimator))
    np.save(tmp_path / "X.npy", X)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


def test_the_command_of_the_article_converts(folder: Path, toolkit: Toolkit) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sklearn2rknn", "iris.pkl", "iris.rknn", "--target_platform", "rk3588"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "2 layers all on the NPU" in done.stdout
    assert read_bundle("iris.rknn").precision == "float16"


@pytest.mark.parametrize("dash", ["_", "-"])
@pytest.mark.parametrize("order", ["first", "last"])
def test_options_in_both_spellings_and_any_order(
    folder: Path, toolkit: Toolkit, dash: str, order: str
) -> None:
    options = ["--quantization", f"--example{dash}input", "X.npy", f"--batch{dash}size", "16", "1"]
    options.append(f"--target{dash}platform=rk3588")
    files = ["iris.pkl", "iris.rknn"]
    done = run(*(options + files if order == "first" else files + options))
    assert done.exit_code == 0, done.output
    assert [each.samples for each in read_bundle("iris.rknn").variants] == [1, 16]
    assert read_bundle("iris.rknn").precision == "int8"


def test_rows_from_csv_are_those_from_npy(folder: Path, toolkit: Toolkit) -> None:
    X = np.load("X.npy")
    np.savetxt("X.csv", X, fmt="%.17g", delimiter=",", header="a,b,c", comments="")
    digests = []
    for name in ("X.npy", "X.csv"):
        done = run("iris.pkl", "iris.rknn", f"--example-input={name}", "--precision", "int8")
        assert done.exit_code == 0, done.output
        digests.append(read_bundle("iris.rknn").variants[0].content_digest)
    assert len(set(digests)) == 1


def test_a_tilde_is_the_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder / "home"))
    done = run("iris.pkl", "iris.rknn", "--example_input=~/X.csv")
    assert f"There is no file {folder}/home/X.csv" in done.output


def test_columns_of_csv_are_found_by_name(folder: Path) -> None:
    estimator, X = fit("softmax")
    estimator.feature_names_in_ = np.array(["a", "b", "c"], object)
    rows = "\n".join(",".join(map(repr, row)) for row in X[:, ::-1].tolist())
    (folder / "turned.csv").write_text(f"c,b,a\n{rows}\n")
    found = read_rows(folder / "turned.csv", network_from_estimator(estimator))
    np.testing.assert_array_equal(found, X)
    (folder / "other.csv").write_text(f"c,b,z\n{rows}\n")
    with pytest.raises(ExampleInputError, match="has no column 'a'"):
        read_rows(folder / "other.csv", network_from_estimator(estimator))


def test_json_prints_the_report_as_json(folder: Path, toolkit: Toolkit) -> None:
    done = run("iris.pkl", "iris.rknn", "--json")
    assert json.loads(done.stdout)["samples"] == [64]


def test_warnings_go_to_stderr_in_one_line(folder: Path, toolkit: Toolkit) -> None:
    np.save("X.npy", np.load("X.npy")[:5])
    done = run("iris.pkl", "iris.rknn", "--example_input", "X.npy")
    assert done.exit_code == 0
    assert "Warning: example_input has 5 rows" in done.stderr
    assert "arning" not in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "Missing argument"),
        (["iris.pkl", "iris.rknn", "--no_such"], 2, "No such option"),
        (["iris.pkl", "iris.rknn", "--target_platform", "rk9"], 2, "rk3588"),
        (["iris.pkl", "iris.bin"], 2, "ends in .rknn"),
        (["iris.pkl", "iris.rknn", "--batch_size", "many"], 2, "not a valid integer"),
        (["iris.pkl", "iris.rknn", "--toolkit", "0.1"], 2, "2.3.2"),
        (["none.pkl", "iris.rknn"], 1, "Error: There is no file none.pkl"),
        (["iris.pkl", "iris.rknn", "--quantization"], 1, "Error: int8 needs example_input"),
        (["iris.pkl", "iris.rknn", "--example_input", "none.npy"], 1, "Error: There is no file none.npy"),
        (["iris.pkl", "iris.rknn", "--example_input", "iris.pkl"], 1, "is no UTF-8 text"),
        (
            ["iris.pkl", "iris.rknn", "--example_input", "text.csv"],
            1,
            "line 2, column 3: 'much' is no number",
        ),
        (["iris.pkl", "iris.rknn", "--example_input", "counted.csv"], 1, "--header yes if they are names"),
        (["X.npy", "iris.rknn"], 1, "ends in .npy"),
        (["hostile.pkl", "iris.rknn"], 1, "posix.system"),
        (
            ["text.pkl", "iris.rknn"],
            1,
            "text.pkl is damaged, or no pickle: it recalls a value that it has not",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_use_is_one_message(folder: Path, arguments: list[str], code: int, said: str) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return os.system, ("touch trace",)

    (folder / "hostile.pkl").write_bytes(pickle.dumps(Hostile()))
    (folder / "text.pkl").write_text("hello\n")
    (folder / "text.csv").write_text("a,b,c\n1,2,much\n")
    (folder / "counted.csv").write_text("0,1,2\n1,2,3\n")
    done = run(*arguments)
    assert done.exit_code == code
    assert said in done.output
    assert "Traceback" not in done.output
    assert not (folder / "trace").exists()
    assert not (folder / "iris.rknn").exists()


def test_folder_of_another_user_is_refused_before_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sklearn2rknn.options.os.access", lambda path, mode: mode == os.R_OK)
    done = run("iris.pkl", "iris.rknn")
    assert done.exit_code == 2
    assert "This user may not write to the folder of iris.rknn. Choose another." in done.output


def test_help_shows_examples() -> None:
    done = run("--help")
    assert done.exit_code == 0
    assert "sklearn2rknn iris.pkl iris.rknn --example-input X.npy --precision int8" in done.output
    names = {*inspect.signature(convert).parameters, *(field.name for field in fields(ConversionOptions))}
    for name in names - {"model", "path", "options"}:
        assert f"--{name.replace('_', '-')}" in done.output
    assert "_" not in re.sub(r"kl_divergence|min_r2", "", done.output)
    prose = done.output[done.output.index("X.npy holds") :]
    assert max(map(len, prose.splitlines())) <= 80
    assert "sklearn2rknn precisions iris.pkl --rows X.npy" in run("precisions", "--help").output


def test_options_have_the_defaults_of_their_class() -> None:
    parameters = {parameter.name: parameter.default for parameter in main.params}
    defaults = {field.name: field.default for field in fields(ConversionOptions) if field.default is not None}
    assert defaults.items() <= parameters.items()


def test_the_first_word_may_be_convert(folder: Path, toolkit: Toolkit) -> None:
    assert run("convert", "iris.pkl", "iris.rknn", "--check", "off").exit_code == 0
    assert "Missing argument 'OUT.rknn'" in run("./convert").output


def test_version_is_printed() -> None:
    assert run("--version").output.strip() == f"sklearn2rknn, version {version('sklearn2rknn')}"


def test_example_of_the_help_for_comparison(folder: Path, toolkit: Toolkit) -> None:
    line = "iris.pkl iris.rknn --form matmul --head npu --activation plain --batch-size 1"
    assert line in run("--help").output
    done = run(*line.split())
    assert done.exit_code == 0, done.output
    bundle = read_bundle("iris.rknn")
    assert (bundle.form, bundle.head_on_npu) == ("matmul", True)


def _write_files(folder: Path) -> None:
    """Write the model ``m.pkl`` and rows that are none."""
    estimator, X = fit("softmax")
    (folder / "m.pkl").write_bytes(pickle.dumps(estimator))
    (folder / "dict.pkl").write_bytes(pickle.dumps({"model": estimator}))
    for name in ("empty.pkl", "empty.joblib", "empty.skops", "empty.npy", "empty.csv", "text.txt"):
        (folder / name).touch()
    (folder / "junk.skops").write_bytes(b"PK\x03\x04junk")
    (folder / "junk.pkl").write_bytes(bytes(range(256)))
    np.save(folder / "dates.npy", np.zeros((9, X.shape[1]), "M8[s]"))
    np.save(folder / "objects.npy", np.full((9, X.shape[1]), None))
    np.save(folder / "texts.npy", np.full((9, X.shape[1]), "x"))
    np.save(folder / "none.npy", X[:0])
    (folder / "binary.csv").write_bytes(bytes(range(256)))
    (folder / "terminal.csv").write_bytes(b"1,\x1b[2J\n")
    (folder / "folder").mkdir()


COMMANDS: dict[str, tuple[list[str], int, str]] = {
    "no model": (["missing.pkl", "o.rknn"], 1, "There is no file missing.pkl"),
    "folder as model": (["folder", "o.rknn"], 1, "There is no file folder"),
    "empty pickle": (["empty.pkl", "o.rknn"], 1, "empty.pkl cannot be read"),
    "empty joblib file": (["empty.joblib", "o.rknn"], 1, "empty.joblib cannot be read"),
    "empty skops file": (["empty.skops", "o.rknn"], 1, "empty.skops cannot be read"),
    "damaged archive": (["junk.skops", "o.rknn"], 1, "junk.skops cannot be read"),
    "binary pickle": (["junk.pkl", "o.rknn"], 1, "junk.pkl"),
    "dict": (["dict.pkl", "o.rknn"], 1, "dict.pkl holds a dict"),
    "another suffix": (["text.txt", "o.rknn"], 1, "a model's file ends in .skops"),
    "name that is no UTF-8": (["m\udcff\x1b.pkl", "o.rknn"], 1, "There is no file m\ufffd\ufffd.pkl"),
    "no folder": (["m.pkl", "missing/o.rknn"], 2, "There is no folder missing"),
    "another suffix of the bundle": (["m.pkl", "o.bin"], 2, "a model file's name ends in .rknn"),
    "folder as bundle": (["m.pkl", "folder.rknn/../folder/../folder"], 2, "ends in .rknn"),
    "long name": (["m.pkl", "o" * 246 + ".rknn"], 2, "at most 255 bytes"),
    "long name of the metadata": (["m.pkl", "o" * 245 + "é.rknn"], 2, "at most 255 bytes"),
    "bundle that commands a terminal": (["m.pkl", "o\x1b.rknn"], 2, "no control characters"),
    "bundle that is no UTF-8": (["m.pkl", "o\udcff.rknn"], 2, "no control characters"),
    "no toolkit": (["m.pkl", "o.rknn", "--toolkit", "9"], 2, "There is no toolkit '9'"),
    "no platform": (["m.pkl", "o.rknn", "--target-platform", "\x1b"], 2, "target_platform is"),
    "no batch size": (["m.pkl", "o.rknn", "--batch-size", "0"], 2, "batch_size holds 0"),
    "no precision": (["m.pkl", "o.rknn", "--precision", "int3"], 2, "precision is"),
    **{
        f"{name} as rows": (["m.pkl", "o.rknn", "--example-input", name], 1, expected)
        for name, expected in (
            ("missing.npy", "There is no file missing.npy"),
            ("folder", "There is no file folder"),
            ("empty.npy", "empty.npy is no .npy file of numbers"),
            ("empty.csv", "empty.csv is empty"),
            ("objects.npy", "objects.npy is no .npy file of numbers"),
            ("dates.npy", "is not a table of numbers (dtype datetime64[s])"),
            ("texts.npy", "is not a table of numbers"),
            ("none.npy", "example_input"),
            ("binary.csv", "binary.csv is no UTF-8 text"),
            ("terminal.csv", "terminal.csv, line 1, column 2"),
        )
    },
}


@pytest.mark.parametrize("case", COMMANDS)
def test_command_ends_with_a_message_before_a_toolkit_starts(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: Any) -> None:
        raise AssertionError("a toolkit was asked for")

    monkeypatch.setattr("sklearn2rknn.conversion.shared_toolkit", never)
    monkeypatch.chdir(tmp_path)
    _write_files(tmp_path)
    arguments, code, expected = COMMANDS[case]
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, type(result.exception)) == (code, SystemExit)
    assert expected in " ".join(result.stderr.split())
    assert "\x1b" not in result.output
    assert not list(tmp_path.glob("o*.rknn*"))


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("word", ["--help", "supported"])
def test_full_disk_and_closed_pipe_end_without_a_traceback(
    word: str, unbuffered: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    program = [sys.executable, "-m", "sklearn2rknn", word]
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert ended.stderr == "Error: standard output cannot be written: [Errno 28] No space left on device\n"
    assert ended.returncode == 1
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(program, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (1, "")
