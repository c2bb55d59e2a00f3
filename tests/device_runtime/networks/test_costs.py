"""What a call costs: fitted to times, kept in a file, and good enough to choose a device."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neural_network import MLPClassifier

import scirknn
from scirknn.bundle import read_bundle
from scirknn.cli import bench
from scirknn.cli.commands import main
from scirknn.devices import session
from scirknn.devices.protocol import Session
from scirknn.devices.rknnlite import NpuSession
from scirknn.estimators.load import open_bundle
from scirknn.networks import cpu
from scirknn.networks.costs import (
    CPU_COSTS,
    NPU_COSTS,
    CallTimes,
    Costs,
    costs_path,
    cpu_work,
    fit,
    npu_work,
    read_costs,
    write_costs,
)
from tests.device_runtime.bundle.metadata_edits import edit_metadata
from tests.device_runtime.bundles import regressor_bundle
from tests.device_runtime.conftest import MakeBundle
from tests.device_runtime.networks.test_cpu import ESTIMATOR, with_weights

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@given(factors=st.lists(st.floats(0.1, 10), min_size=5, max_size=5))
def test_costs_are_found_again_from_the_times_they_give(factors: list[float]) -> None:
    work = np.array([cpu_work(widths, rows) for widths in bench.DRAWN for rows in bench.DRAWN_ROWS])
    work[: len(work) // 2, 0] = 0  # or a call is seen in every time alike
    stated = [getattr(Costs(), name) * factor for name, factor in zip(CPU_COSTS, factors, strict=True)]
    fitted = fit(CPU_COSTS, work, work @ stated, Costs())
    np.testing.assert_allclose([getattr(fitted, name) for name in CPU_COSTS], stated, rtol=1e-4)


def test_costs_that_calls_do_not_tell_apart_give_the_times_together() -> None:
    before = [getattr(Costs(), name) for name in NPU_COSTS]
    work = np.array([[1, 1, 1000, 1e-4], [1, 64, 1000, 1e-4], [4, 256, 4000, 4e-4]])
    for factor in (3.0, 0.2):
        fitted = [getattr(fit(NPU_COSTS, work, factor * work @ before, Costs()), name) for name in NPU_COSTS]
        np.testing.assert_allclose(work @ fitted, factor * work @ before)
        assert all((value - old) * (factor - 1) > 0 for value, old in zip(fitted, before, strict=True))


def test_no_cost_becomes_negative() -> None:
    work = np.array([[1.0, 1, 10, 0], [1, 100, 10, 0]])
    fitted = fit(NPU_COSTS, work, np.array([2e-3, 1e-3]), Costs())
    assert min(getattr(fitted, name) for name in NPU_COSTS) >= 0
    assert fitted.npu_row == 0


def test_measured_costs_are_kept(tmp_path: Path) -> None:
    assert read_costs() == Costs()
    costs = Costs(npu_call=1e-4, is_measured=True)
    assert write_costs(costs) == tmp_path / "config" / "scirknn" / "costs.json"
    assert read_costs() == costs


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 9999,
        "npu_call=true",
        "npu_call=-1.0",
        "npu_call=1e999",
        "cpu_row=null",
    ],
)
def test_a_damaged_file_of_costs_is_refused(content: bytes | str) -> None:
    write_costs(Costs())
    if isinstance(content, str):
        name, _, value = content.partition("=")
        document = {**json.loads(costs_path().read_text()), name: 0}
        content = json.dumps(document).replace(f'"{name}": 0', f'"{name}": {value}').encode()
    costs_path().write_bytes(content)
    with pytest.raises(scirknn.InputError, match=r"holds no costs of a board.*--calibrate"):
        read_costs()


@given(rows=st.integers(1, 10**5))
def test_all_rows_of_a_call_are_in_its_work(rows: int, tmp_path_factory: Any) -> None:
    call, element, row, _ = (npu_work(_BUNDLE, rows)[place] for place in (0, 2, 1, 3))
    assert row == rows
    assert element >= rows * 11
    assert rows / 64 <= call <= rows / 64 + 8


_BUNDLE = regressor_bundle(
    Path("m.rknn"), 8, 3, tuple(scirknn.bundle.Variant(f"{size}", size, "") for size in (1, 8, 64))
)


SIZES = {"small": (16,), "usual": (128, 128), "wide": (256, 128), "deep": (32,) * 6}
ROWS = (1, 8, 64, 1024, 32768)
CALL, ELEMENT, PROGRAM, CPU_CALL, LAYER, PRODUCT = 3e-4, 6e-9, 1.3, 3e-5, 1.5e-5, 1 / 6e9


class Clock:
    """Time that passes only where a cost is stated."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Let sessions and the CPU's layers take stated times, and compute nothing."""
    clock, computed = Clock(), cpu.compute

    class CountingSession(Session):
        def __init__(self, file: Path, *_: Any) -> None:
            model = json.loads(file.read_text())
            self._outputs = len(model["layers"][-1][1])
            self._program = _program(model["layers"], model["samples"])

        def run(self, rows: Any) -> Any:
            elements = rows.size + len(rows) * self._outputs
            clock.now += CALL + ELEMENT * elements + PROGRAM * self._program
            return np.zeros((len(rows), self._outputs), np.float32)

        def close(self) -> None:
            """Do nothing."""

    def compute(layers: Any, values: Any) -> Any:
        products = sum(layer.weights.size for layer in layers)
        clock.now += CPU_CALL + LAYER * len(layers) + PRODUCT * len(values) * products
        return np.zeros((len(values), len(layers[-1].bias)), np.float32)

    assert computed is not compute
    monkeypatch.setattr(session, "NpuSession", CountingSession)
    monkeypatch.setattr(cpu, "compute", compute)
    monkeypatch.setattr(bench, "compute", compute)
    return clock


def _program(layers: Any, samples: int) -> float:
    products = sum(len(bias) * len(weights) for weights, bias in layers)
    return 1e-4 + 1.4e-5 * len(layers) + samples * products / 256e9


def made(name: str, make_bundle: MakeBundle, features: int = 64) -> Path:
    """Write the bundle of a size, with the estimate of its programs."""
    random = np.random.default_rng(0)
    estimator = MLPClassifier(SIZES[name], max_iter=1, random_state=0)
    estimator.fit(random.normal(size=(30, features)), np.arange(30) % 10)
    path = make_bundle(estimator, samples=(1, 64, 1024), name=f"{name}.rknn")
    layers = list(zip(estimator.coefs_, estimator.intercepts_, strict=True))
    return edit_metadata(
        with_weights(path, estimator), estimate={str(size): _program(layers, size) for size in (1, 64, 1024)}
    )


def test_auto_is_within_a_tenth_of_the_faster_device(make_bundle: MakeBundle, clock: Clock) -> None:
    paths = [made(name, make_bundle) for name in SIZES]
    rows = np.random.default_rng(1).normal(size=(max(ROWS), 64))
    on_npu = partial(open_bundle, device="npu")
    write_costs(bench.calibrate(read_bundle(paths[1]), rows[:1024], 0.0, on_npu, clock))
    chosen = set()
    for path in paths:
        taken: dict[tuple[str, int], float] = {}
        for device in ("npu", "cpu", "auto"):
            with scirknn.load(path, device=device) as model:
                for count in ROWS:
                    started = clock.now
                    model.predict(rows[:count])
                    taken[device, count] = clock.now - started
                    chosen.add(model.device_for(count))
        for count in ROWS:
            fastest = min(taken["npu", count], taken["cpu", count])
            assert taken["auto", count] <= 1.1 * fastest, (path.name, count, taken)
    assert chosen == {"npu", "cpu"}


def test_the_break_even_is_where_the_faster_device_changes(make_bundle: MakeBundle) -> None:
    bundle = read_bundle(with_weights(make_bundle(ESTIMATOR, samples=(64,)), ESTIMATOR))
    for costs in (Costs(), Costs(cpu_row=1e-4), Costs(npu_call=0.0, npu_row=0.0, npu_element=0.0)):
        times = CallTimes(bundle, costs)
        rows = times.break_even()
        if rows is None:
            assert not times.is_npu_faster(1 << 20)
        else:
            assert times.is_npu_faster(rows)
            assert rows == 1 or not times.is_npu_faster(int(rows / 1.08) - 1 or 1)


def test_calibrate_keeps_what_it_measures(
    make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    path = with_weights(make_bundle(ESTIMATOR, samples=(1, 8)), ESTIMATOR)
    assert main(["info", str(path)]) == 0
    assert "(estimate)" in capsys.readouterr().out
    assert main(["bench", str(path), "--calibrate", "--seconds", "0.004"]) == 0
    printed = capsys.readouterr().out
    assert f"kept in {costs_path()}" in printed
    assert read_costs().is_measured
    assert main(["info", str(path)]) == 0
    assert "(measured here)" in capsys.readouterr().out


def test_the_cpu_alone_is_not_calibrated(make_bundle: MakeBundle, capsys: Any) -> None:
    path = with_weights(make_bundle(ESTIMATOR), ESTIMATOR)
    assert main(["bench", str(path), "--calibrate", "--device", "cpu"]) == 1
    assert "what the NPU costs is measured on a board" in capsys.readouterr().err
    assert not costs_path().exists()


def test_times_of_the_emulator_are_not_kept(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    path = with_weights(make_bundle(ESTIMATOR), ESTIMATOR)
    monkeypatch.setattr(session, "VirtualSession", NpuSession)
    assert main(["bench", str(path), "--calibrate", "--device", "virtual", "--seconds", "0.004"]) == 0
    assert "not kept: these are the emulator's times" in capsys.readouterr().out
    assert not costs_path().exists()
