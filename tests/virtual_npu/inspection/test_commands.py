from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.virtual_npu.rknn_writer import Chain, Dense, write
from virtual_npu import VirtualNpu, content_digest, estimate, read
from virtual_npu.inspection.commands import main


@pytest.fixture
def model(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    path = tmp_path / "m.rknn"
    path.write_bytes(write(Chain([Dense(rng.normal(size=(3, 8)), rng.normal(size=3))], samples=2)))
    return path


def test_info_as_json_has_the_content_digest(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json", str(model)]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["content_digest"] == content_digest(read(model))
    assert shown["inputs"][0]["shape"] == [1, 8, 2, 1]
    assert shown["layers"][0]["placement"] == "NPU"


def test_info_as_table_calls_the_estimate_one(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(model)]) == 0
    shown = capsys.readouterr().out
    assert "an estimate for an RK3588 from times that others published, not measured" in shown
    assert "Conv:0" in shown
    assert "rules      5 rules of arithmetic: 2 measured on silicon" in shown


def test_info_as_json_has_the_parts_of_the_estimate(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "--json", str(model)]) == 0
    shown = json.loads(capsys.readouterr().out)
    found = estimate(read(model))
    assert shown["estimated_parts"] == dataclasses.asdict(found.parts)
    assert shown["layers"][0]["estimated_parts"] == dataclasses.asdict(found.layers[0].parts)
    for name in ("seconds", "npu_seconds", "cpu_seconds"):
        assert shown[f"estimated_{name}"] == list(getattr(found, name))


def test_info_names_a_value_that_its_field_cannot_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.rknn").write_bytes(write(Chain([Dense(np.ones((3, 8)), np.zeros(3))], samples=2048)))
    assert main(["info", str(tmp_path / "m.rknn")]) == 0
    shown = capsys.readouterr().out
    assert "too wide   CNA DATA_SIZE0: DATAIN_HEIGHT = 2048 is more than its 11 bits hold" in shown


def test_disasm_shows_every_core_s_tasks(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["disasm", "--cores", "2", str(model)]) == 0
    assert "core 1 task 0: Conv:0" in capsys.readouterr().out


def test_run_writes_the_executor_s_output(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    x = np.random.default_rng(1).normal(size=(1, 8, 2, 1)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    assert main(["run", str(model), str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), VirtualNpu(read(model)).run(x))
    assert capsys.readouterr().out.startswith("5 rules of arithmetic: 2 measured on silicon")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.rknn", "x.npy", "y.npy"]


def test_run_keeps_a_link_and_the_permissions_of_what_it_replaces(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((1, 8, 2, 1), np.float32))
    (tmp_path / "y.npy").write_bytes(b"old")
    (tmp_path / "y.npy").chmod(0o604)
    (tmp_path / "link.npy").symlink_to("y.npy")
    assert main(["run", str(model), str(tmp_path / "x.npy"), str(tmp_path / "link.npy")]) == 0
    assert (tmp_path / "link.npy").is_symlink()
    assert (tmp_path / "y.npy").stat().st_mode & 0o777 == 0o604
    assert np.load(tmp_path / "y.npy").shape == VirtualNpu(read(model)).output_shape
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.npy", "m.rknn", "x.npy", "y.npy"]


def test_run_writes_into_a_device_and_leaves_it_there(model: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((1, 8, 2, 1), np.float32))
    assert main(["run", str(model), str(tmp_path / "x.npy"), "/dev/null"]) == 0
    assert Path("/dev/null").is_char_device()


def test_version_is_the_distribution_s(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    project = (Path(__file__).parents[3] / "virtual_npu" / "pyproject.toml").read_text()
    assert f'version = "{capsys.readouterr().out.split()[1]}"' in project


def test_an_older_format_is_shown_by_its_graph(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = bytearray(model.read_bytes())
    data[8] = 2
    model.write_bytes(data)
    assert main(["info", str(model)]) == 0
    shown = capsys.readouterr().out
    assert "lacks      a register program" in shown
    assert "Conv:0  Conv  NPU" in shown
    assert main(["info", "--json", str(model)]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"][0]["shape"] == [1, 8, 2, 1]
    assert main(["disasm", str(model)]) == 1
    data[8] = 1
    model.write_bytes(data)
    assert main(["info", str(model)]) == 1


def test_diff_shows_registers_and_tensors_that_changed(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(0)
    layer = Dense(rng.normal(size=(3, 8)), rng.normal(size=3))
    other = tmp_path / "other.rknn"
    other.write_bytes(write(Chain([layer], samples=2, edit={0: {0x4060: 0x12}})))
    assert main(["diff", str(model), str(model)]) == 0
    assert capsys.readouterr().out == "no difference\n"
    assert main(["diff", str(model), str(other)]) == 0
    assert capsys.readouterr().out == "Conv:0 task 0 DPU.BN_CFG: 0x00000053 -> 0x00000012\n"
    other.write_bytes(write(Chain([Dense(layer.weights * 2, layer.biases)], samples=3)))
    assert main(["diff", str(model), str(other)]) == 0
    shown = capsys.readouterr().out
    assert "tensor x shape: (1, 8, 2, 1) -> (1, 8, 3, 1)" in shown
    assert "tensor w0 content: 48 bytes, sha256" in shown


def test_diff_names_what_is_in_one_file_alone_and_layers_that_changed(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = [Dense(np.ones((3, 8)), np.zeros(3), relu=True), Dense(np.ones((2, 3)), np.zeros(2))]
    other = tmp_path / "other.rknn"
    other.write_bytes(write(Chain(layers, samples=2)))
    for files, first, second in (((model, other), "second", "first"), ((other, model), "first", "second")):
        assert main(["diff", *map(str, files)]) == 0
        shown = capsys.readouterr().out.splitlines()
        assert {f"tensor h0: only in the {first}", f"layer Conv:1: only in the {first}"} <= set(shown)
        assert not any(line.endswith(f"only in the {second}") for line in shown)
        types = ("Conv", "ConvRelu") if first == "second" else ("ConvRelu", "Conv")
        assert "layer Conv:0 type: {} -> {}".format(*types) in shown


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY junk", b"RKNN"])
def test_a_file_that_cannot_be_read_is_an_error(
    content: bytes, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(content)
    assert main(["info", str(bad)]) == 1
    assert main(["run", str(model), str(bad), str(tmp_path / "y.npy")]) == 1
    assert "virtual_npu: " in capsys.readouterr().err
    assert not (tmp_path / "y.npy").exists()


HOSTILE = {
    "empty": b"", "short": b"RKNN", "header alone": b"RKNN" + bytes(60), "binary": bytes(range(256)) * 9,
    "text": b"\x1b[2J" * 99,
}  # fmt: skip


@pytest.mark.parametrize("case", [*HOSTILE, "folder", "missing", "missing\x1b\udcff"])
def test_file_that_is_none_is_exit_code_1_with_a_message(
    case: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / case
    if case in HOSTILE:
        path.write_bytes(HOSTILE[case])
    elif case == "folder":
        path.mkdir()
    x, y = str(tmp_path / "x.npy"), str(tmp_path / "y.npy")
    np.save(x, np.ones((1, 8, 2, 1), np.float32))
    for command in (["info"], ["info", "--json"], ["disasm"], ["diff", str(model)]):
        assert main([*command, str(path)]) == 1
    assert main(["run", str(path), x, y]) == 1
    shown = capsys.readouterr().err
    assert shown.count("virtual_npu: ") == 5
    assert "\x1b" not in shown


@pytest.mark.parametrize(
    "values",
    [
        b"",
        b"\x93NUMPY\x01\x00\x0c\x00{'descr': ((",
        b"\x93NUMPY\x01\x00\x07\x00{[]: 1}",
        np.zeros((1, 8, 2, 1), "M8[s]"),
        np.full((1, 8, 2, 1), "x"),
        np.ones(3),
        np.ones((1, 8, 2, 1)) * 1j,
    ],
    ids=["empty", "half a header", "header of a list", "dates", "texts", "another shape", "complex"],
)
def test_input_that_is_none_is_exit_code_1_with_a_message(
    values: Any, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.npy"
    if isinstance(values, bytes):
        path.write_bytes(values)
    else:
        np.save(path, values)
    assert main(["run", str(model), str(path), str(tmp_path / "y.npy")]) == 1
    assert capsys.readouterr().err.startswith("virtual_npu: ")
    assert not (tmp_path / "y.npy").exists()


def test_full_disk_and_closed_pipe_end_without_a_traceback(model: Path) -> None:
    program = [sys.executable, "-m", "virtual_npu", "info", str(model)]
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (1, "virtual_npu: [Errno 28] No space left on device\n")
    reader, writer = os.pipe()
    os.close(reader)
    ended = subprocess.run(program, stdout=writer, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writer)
    assert (ended.returncode, ended.stderr) == (0, "")
