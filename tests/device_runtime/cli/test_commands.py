"""``python3 -m scirknn``, as people without Python code use it."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipapp
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import scirknn
from scirknn.bundle.columns import Category, Columns, Lookup, Number
from scirknn.cli.commands import main
from tests.device_runtime.conftest import FakeLite, MakeBundle
from tests.device_runtime.estimators.test_estimator import fitted
from tests.device_runtime.networks.test_cpu import ESTIMATOR, with_weights

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X = np.random.default_rng(0).normal(size=(20, 5))
NAMES = ("length", "width", "depth", "height", "mass")
SOURCES = Path(scirknn.__file__).parents[1]


def csv_file(path: Path, rows: Any = X, header: str | None = None, delimiter: str = ",") -> str:
    lines = [] if header is None else [header]
    path.write_text("\n".join([*lines, *(delimiter.join(map(repr, row)) for row in rows.tolist())]) + "\n")
    return str(path)


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines()


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("kind", ["strings", "objects", "binary", "multilabel", "regressor", "two outputs"])
def test_predicts_a_csv_file_into_another(
    kind: str, delimiter: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    estimator = fitted(kind)
    output = tmp_path / "out.csv"
    given = csv_file(tmp_path / "in.csv", delimiter=delimiter)
    assert main(["predict", str(make_bundle(estimator, samples=(1, 8))), given, str(output)]) == 0
    header, *rows = lines_of(output)
    expected = estimator.predict(X)
    assert len(header.split(",")) == (1 if expected.ndim == 1 else expected.shape[1])
    if expected.dtype.kind == "f":
        found = np.array([row.split(",") for row in rows], dtype=float).reshape(expected.shape)
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    else:
        assert rows == [",".join(map(str, np.atleast_1d(row))) for row in expected.tolist()]


def test_probabilities_have_a_column_for_each_class(
    make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    estimator = fitted("strings")
    path = str(make_bundle(estimator))
    assert main(["predict", path, csv_file(tmp_path / "in.csv"), "--proba"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header == "p(ab),p(c),p(def)"
    np.testing.assert_allclose(
        [list(map(float, row.split(","))) for row in rows], estimator.predict_proba(X), atol=1e-5
    )
    assert main(["predict", path, csv_file(tmp_path / "in.csv"), "--raw"]) == 0
    assert capsys.readouterr().out.startswith("output_0,output_1,output_2\n")


@pytest.mark.parametrize("kind", ["strings", "objects", "two outputs"])
def test_npy_in_and_npy_out(kind: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    estimator = fitted(kind)
    given, output = tmp_path / "X.npy", tmp_path / "y.npy"
    np.save(given, np.asfortranarray(X, dtype="f4"))
    path = str(make_bundle(estimator))
    for source in (given, csv_file(tmp_path / "in.csv")):
        assert main(["predict", path, str(source), str(output)]) == 0
        found, expected = np.load(output), estimator.predict(X)
        assert found.shape == expected.shape
        if kind == "two outputs":
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
        else:
            assert found.tolist() == expected.tolist()
    assert {each.name for each in tmp_path.iterdir()} == {
        "X.npy", "y.npy", "in.csv", "model.rknn", "model.rknn.json",
    }  # fmt: skip


def test_columns_are_found_by_name(make_bundle: MakeBundle, tmp_path: Path) -> None:
    estimator = fitted("regressor")
    path = str(make_bundle(estimator, column_names=NAMES))
    shuffled = np.hstack([np.arange(20)[:, None], X[:, ::-1]])
    given = csv_file(tmp_path / "in.csv", shuffled, ",".join(["id", *NAMES[::-1]]))
    output = tmp_path / "out.csv"
    assert main(["predict", path, given, str(output)]) == 0
    expected = estimator.predict(X)
    np.testing.assert_allclose([float(row) for row in lines_of(output)[1:]], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("answer", "count"), [("auto", 20), ("yes", 20), ("no", 21)])
def test_first_line_that_counts_columns_is_a_header_unless_the_user_denies_it(
    answer: str, count: int, make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(make_bundle(fitted("strings")))
    given, output = csv_file(tmp_path / "in.csv", header="0,1,2,3,4"), tmp_path / "out.csv"
    assert main(["predict", path, given, str(output), "--header", answer]) == 0
    assert len(lines_of(output)) == 1 + count
    is_reported = "first line is taken as names of columns: 0,1,2,3,4" in capsys.readouterr().err
    assert is_reported == (answer == "auto")


@pytest.mark.parametrize("header", [",0,1,2,3,4", ",a,b,c,d,e"])
def test_index_that_pandas_wrote_is_left_out(header: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    path, output = str(make_bundle(fitted("strings"))), tmp_path / "out.csv"
    assert main(["predict", path, csv_file(tmp_path / "plain.csv"), str(output)]) == 0
    expected = lines_of(output)
    given = csv_file(tmp_path / "in.csv", np.hstack([np.arange(20)[:, None], X]), header)
    assert main(["predict", path, given, str(output)]) == 0
    assert lines_of(output) == expected


def test_a_mixed_table_is_read_as_the_pipeline_does(make_bundle: MakeBundle, tmp_path: Path) -> None:
    estimator = fitted("two outputs")
    lookup = Lookup(1, ("blue", "red"), (0, 1), None, 2, "ignore", 0)
    numbers = (Number(0), Number(2), Number(3, float("nan"), 9.0))
    columns = Columns(4, (*numbers, Category(0, 0), Category(0, 1)), (lookup,), by_name=True)
    path = make_bundle(estimator, columns=columns, column_names=("a", "colour", "b", "c"))
    given = tmp_path / "in.csv"
    given.write_text('unused,c,colour,a,b\nx,1.5,"red",2,3\ny,,blue,4,5\nz,1,green,6,7\n')
    output = tmp_path / "out.csv"
    assert main(["predict", str(path), str(given), str(output)]) == 0
    expected = estimator.predict([[2, 3, 1.5, 0, 1], [4, 5, 9, 1, 0], [6, 7, 1, 0, 0]])
    found = [list(map(float, row.split(","))) for row in lines_of(output)[1:]]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is empty"),
        ("a,b,c,d,e\n", "has a header and no rows"),
        ("1,2,3,4,5\n1,2,3\n", "line 2: 3 cells, where the first line has 5"),
        ("1,2,3,4,5\n1,2,x,4,5\n", "line 2, column 3: 'x' is no number"),
        ("1,2,3,4,5\n1,2,,4,5\n", "line 2, column 3: '' is no number, and the model fills none in"),
        ("1,2,3,4,5\n1,2,inf,4,5\n", "contains infinity"),
        ("1,2,3\n", "X has 3 features, but MLPClassifier is expecting 5 features"),
        ("1,2,3,4,\xff\n", "is no UTF-8 text"),
        ("1 2 3 4 5\n", "has spaces between its cells"),
        ("a b c d e\n1 2 3 4 5\n", "has spaces between its cells"),
    ],
)
def test_wrong_files_are_refused_by_line(
    text: str, message: str, make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given, output = tmp_path / "in.csv", tmp_path / "out.csv"
    given.write_bytes(text.encode("latin-1"))
    assert main(["predict", str(make_bundle(fitted("softmax"))), str(given), str(output)]) == 1
    assert message in capsys.readouterr().err
    assert not output.exists()
    assert not list(tmp_path.glob(".*"))


def test_other_mistakes_are_one_line(
    make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    regressor = str(make_bundle(fitted("regressor"), name="r.rknn"))
    named = str(make_bundle(fitted("regressor"), name="n.rknn", column_names=NAMES))
    given = csv_file(tmp_path / "in.csv", header="a,b,c,d,e")
    objects = tmp_path / "objects.npy"
    np.save(objects, np.array([{}]), allow_pickle=True)
    for arguments, message in (
        (["info", str(tmp_path / "none.rknn")], "No model file at"),
        (["predict", regressor, given, "--proba"], "has no probabilities"),
        (["predict", regressor, str(tmp_path / "none.csv")], "none.csv: No such file or directory\n"),
        (["predict", regressor, str(objects)], "is no .npy file of numbers"),
        (["predict", named, given], "has no column 'length', 'width', 'depth', 'height', 'mass'"),
    ):
        assert main(arguments) == 1
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    with pytest.raises(SystemExit) as caught:
        main(["predict", regressor])
    assert caught.value.code == 2


def test_a_long_file_is_read_in_pieces(
    make_bundle: MakeBundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scirknn.cli import commands as command_line
    from scirknn.cli.table_files import read_blocks

    sizes = []

    def small(*arguments: Any, **options: Any) -> Any:
        for block in read_blocks(*arguments, block=7, **options):
            sizes.append(len(block))
            yield block

    monkeypatch.setattr(command_line, "read_blocks", small)
    estimator, output = fitted("regressor"), tmp_path / "y.npy"
    assert main(["predict", str(make_bundle(estimator)), csv_file(tmp_path / "in.csv"), str(output)]) == 0
    assert sizes == [7, 7, 6]
    np.testing.assert_allclose(np.load(output), estimator.predict(X), rtol=1e-5, atol=1e-5)


def test_bench_times_one_row_and_many(
    make_bundle: MakeBundle, lite: type[FakeLite], capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(make_bundle(fitted("softmax"), samples=(1, 8)))
    assert main(["bench", path, "--rows", "20", "--seconds", "0"]) == 0
    _, _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [
        [core, rows] for core in ("auto", "pool") for rows in ("1", "8", "20")
    ]


def test_bench_times_the_cpu_beside_the_npu(
    make_bundle: MakeBundle, lite: type[FakeLite], capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(with_weights(make_bundle(ESTIMATOR), ESTIMATOR))
    for options, last in (([], "CPU"), (["--core", "0"], "0")):
        assert main(["bench", path, "--device", "npu", "--rows", "9", "--seconds", "0", *options]) == 0
        assert capsys.readouterr().out.splitlines()[-1].split()[:2] == [last, "9"]


@pytest.mark.parametrize("command", ["predict", "bench", "bench --calibrate"])
def test_runtime_is_what_runs_the_model(
    command: str, make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As scirknn.load's: rknnlite is here, librknnrt.so is not, and there is no other runtime."""
    path = str(with_weights(make_bundle(ESTIMATOR), ESTIMATOR))
    given = [csv_file(tmp_path / "in.csv")] if command == "predict" else ["--seconds", "0.004"]
    arguments = [*command.split(), path, *given, "--runtime"]
    assert main([*arguments, "rknnlite"]) == 0
    capsys.readouterr()
    assert main([*arguments, "native"]) == 1
    with pytest.raises(scirknn.DeviceError) as error:
        scirknn.load(path, runtime="native")
    assert capsys.readouterr().err == f"scirknn: {error.value}\n"
    with pytest.raises(SystemExit):
        main([*arguments, "general"])
    assert "argument --runtime: invalid choice: 'general'" in capsys.readouterr().err


def test_help_has_examples(capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("", "info", "predict", "bench", "doctor"):
        with pytest.raises(SystemExit):
            main([*filter(None, [command]), "--help"])
        assert f"\n  python3 -m scirknn {command}" in capsys.readouterr().out


@pytest.fixture(params=["this", "oldest"])
def python(request: pytest.FixtureRequest) -> str:
    """This Python, and the oldest that scirknn runs on."""
    if request.param == "this":
        return sys.executable
    oldest = shutil.which(os.environ.get("SCIRKNN_PYTHON38", "python3.8"))
    if oldest is None or subprocess.run([oldest, "-c", "import numpy"], capture_output=True).returncode:
        pytest.skip("there is no python3.8 with numpy on the path: see `tox -e oldest`")
    return oldest


def test_standard_input_and_a_reader_who_has_enough(
    python: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    """In processes of their own, through a pipe that ends early."""
    program = tmp_path / "program"
    (program / "rknnlite").mkdir(parents=True)
    (program / "rknnlite/__init__.py").write_text("")
    (program / "rknnlite/api.py").write_text(
        "import numpy\n"
        "class RKNNLite:\n"
        "    def __init__(self, verbose): pass\n"
        "    def load_rknn(self, path): return 0\n"
        "    def init_runtime(self): return 0\n"
        "    def inference(self, inputs): return [inputs[0][0, :, 0, :2].T[None, :, :, None].copy()]\n"
        "    def release(self): pass\n"
    )
    path = make_bundle(fitted("two outputs"))
    environment = {**os.environ, "PYTHONPATH": f"{SOURCES}{os.pathsep}{program}", "SCIRKNN_DEVICE": "npu"}
    command = [python, "-m", "scirknn", "predict", str(path), "-"]
    done = subprocess.run(
        command, input="1,2,3,4,5\n6,7,8,9,10\n", env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("prediction_0,prediction_1\n1.0,2.0\n6.0,7.0\n", "")
    assert done.returncode == 0
    shell = f"yes 1,2,3,4,5 | head -n 30000 | {' '.join(command)} | head -n 1"
    done = subprocess.run(
        ["/bin/sh", "-c", shell], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("prediction_0,prediction_1\n", "")


def test_works_from_a_zipapp(python: str, make_bundle: MakeBundle, tmp_path: Path) -> None:
    archive = tmp_path / "scirknn.pyz"
    zipapp.create_archive(SOURCES, archive, main="scirknn.__main__:run")
    path = make_bundle(fitted("softmax"))
    environment = {"PATH": os.environ["PATH"], "SCIRKNN_DEVICE": "npu"}
    command = [python, "-I", str(archive)]
    told = subprocess.run(
        [*command, "info", str(path)], env=environment, capture_output=True, text=True, check=False
    )
    assert "MLPClassifier" in told.stdout, told.stderr
    doctor = subprocess.run(
        [*command, "doctor", "--json"],
        env={**environment, "SCIRKNN_DEVICE": "virtual"},
        capture_output=True,
        text=True,
        check=False,
    )
    findings = {finding["rule"]: finding for finding in json.loads(doctor.stdout)}
    assert findings["python"]["level"] == "ok"


def test_works_from_the_harnesss_runner(make_bundle: MakeBundle, tmp_path: Path) -> None:
    provisioning = pytest.importorskip(
        "rknn_harness.boards.session.runner_archive", reason="rknn-harness is not installed"
    )
    archive = tmp_path / "runner.pyz"
    archive.write_bytes(provisioning.runner_archive())
    done = subprocess.run(
        [sys.executable, "-m", "scirknn", "info", str(make_bundle(fitted("softmax")))],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(archive)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "MLPClassifier" in done.stdout, done.stderr


def test_csv_keeps_every_digit(make_bundle: MakeBundle, tmp_path: Path) -> None:
    from scirknn.cli.table_files import write_blocks

    values = np.random.default_rng(0).normal(size=(50, 2))
    for dtype in ("f8", "f4"):
        path = tmp_path / "digits.csv"
        assert write_blocks(str(path), [values.astype(dtype)], ["a", "b"]) == 50
        np.testing.assert_array_equal(
            np.loadtxt(path, delimiter=",", skiprows=1, dtype=dtype), values.astype(dtype)
        )
    stream = io.StringIO()
    sys.stdout, kept = stream, sys.stdout
    try:
        write_blocks("-", [values[:1]], ["a", "b"])
    finally:
        sys.stdout = kept
    assert stream.getvalue().count("\n") == 2


@pytest.mark.parametrize("rows", [None, 5])
def test_blocks_become_one_npy_array(tmp_path: Path, rows: int | None) -> None:
    from scirknn.cli.table_files import write_blocks

    table = np.asfortranarray(np.random.default_rng(0).normal(size=(5, 3)).astype("f4"))
    path = tmp_path / "table.npy"
    assert write_blocks(str(path), [table[:2], table[2:]], ["a", "b", "c"], rows) == 5
    written = np.load(path)
    assert written.dtype == np.float32
    np.testing.assert_array_equal(written, table)
