from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
from benchmarks import fit_times

from tests.virtual_npu.rknn_writer import Chain, Dense, write
from virtual_npu import estimate, numpy_seconds, read
from virtual_npu.inspection.time_rates import BAND, BUFFER_BYTES, FITTED

ROOT = Path(__file__).parents[3]
THREE_DIGITS = 5e-3
"""Half a unit of the third digit is at most 0.5 %."""


def published() -> list[dict[str, str]]:
    with (fit_times.DATA / "published_times.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_constants_are_those_of_the_fit_to_three_digits() -> None:
    assert dataclasses.asdict(FITTED) == pytest.approx(
        dataclasses.asdict(fit_times.fitted_rates()), rel=THREE_DIGITS
    )
    assert pytest.approx(fit_times.fitted_band(), rel=THREE_DIGITS) == BAND


def test_of_119_published_figures_the_fit_of_the_others_has_85_within_a_factor_of_3() -> None:
    judged = fit_times.leave_one_out()
    assert len(judged) == 119
    assert sum(each.is_inside for each in judged) >= 85
    assert np.median([each.high / each.low for each in judged]) <= 3


def test_no_band_sees_the_source_that_it_judges(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    origin = "triority blog"

    def bands() -> set[tuple[float, float]]:
        for cached in (fit_times._origins, fit_times._costs, fit_times._band):
            cached.cache_clear()
        judged = [each for each in fit_times.leave_one_out() if each.figure.origin == origin]
        assert len(judged) == 36
        return {(each.low, each.high) for each in judged}

    expected = bands()
    rows = published()
    with (tmp_path / "published_times.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(
            row | {"ms": str(50 * float(row["ms"]))} if row["origin"] == origin else row for row in rows
        )
    with monkeypatch.context() as patched:
        patched.setattr(fit_times, "DATA", tmp_path)
        changed = bands()
    assert changed == expected
    bands()  # of the true figures again, for other tests


def test_the_page_has_the_table_that_the_fit_prints() -> None:
    page = (ROOT / "docs" / "time-estimate.md").read_text(encoding="utf-8")
    assert "\n".join(fit_times.summary(fit_times.leave_one_out())) in page


def test_a_fit_to_what_the_sum_gives_finds_its_costs() -> None:
    costs = np.array([1e-5, 2e-4, 1e-4, 3e-5, 1e-10, 2e-10])
    figures = tuple(
        dataclasses.replace(figure, seconds=float(np.dot(figure.counts, costs)) + figure.compute)
        for figure in fit_times.read_figures()
    )
    np.testing.assert_allclose(fit_times.fit(figures), costs, rtol=1e-6)


def test_every_figure_names_its_source_and_every_estimated_one_its_work() -> None:
    rows = published()
    assert len(rows) == 203
    assert all(row["source"] and row["origin"] and float(row["ms"]) > 0 for row in rows)
    assert all(row["moved_bytes"] for row in rows if row["has_shape"] == "1")


def test_a_call_is_the_sum_of_its_parts() -> None:
    rng = np.random.default_rng(0)
    dense = [
        Dense(rng.normal(size=(16, 8)), rng.normal(size=16)),
        Dense(rng.normal(size=(3, 16)), np.ones(3)),
    ]
    found = estimate(read(write(Chain(dense, samples=4))))
    parts = found.parts
    assert sum(dataclasses.astuple(parts)) == pytest.approx(parts.total)
    assert parts.npu == pytest.approx(parts.submit + sum(each.parts.total for each in found.layers))
    assert parts.inputs == pytest.approx(4 * 8 * FITTED.input_element)
    assert parts.outputs == pytest.approx(4 * 3 * FITTED.output_element)
    assert parts.tasks == pytest.approx(2 * FITTED.task)
    assert found.seconds == pytest.approx([end * parts.total for end in BAND])
    assert found.npu_seconds == pytest.approx([end * parts.npu for end in BAND])
    assert found.cpu_seconds == numpy_seconds(4 * (8 * 16 + 16 * 3), 2)


def test_rows_count_alike_on_whichever_axis_they_lie() -> None:
    file = read(write(Chain([Dense(np.ones((16, 8)), np.ones(16))], samples=4)))
    shapes = {t.index: (4, t.shape[1], 1, 1) for t in (*file.inputs, *file.outputs)}
    tensors = tuple(dataclasses.replace(t, shape=shapes.get(t.index, t.shape)) for t in file.tensors)
    batch = estimate(dataclasses.replace(file, tensors=tensors))
    assert batch == estimate(file)
    assert batch.layers[0].multiply_adds == 4 * 8 * 16


@pytest.mark.parametrize(("inputs", "reads"), [(320, 1), (384, 3)])  # of 328 and 393 KB of weights
def test_weights_beyond_the_buffer_are_read_again_for_each_task(inputs: int, reads: int) -> None:
    once = read(write(Chain([Dense(np.ones((512, inputs)), np.ones(512))], samples=4)))
    thrice = dataclasses.replace(once, task_table=once.task_table[:1] * 2 + once.task_table)
    one, three = (estimate(file).layers[0] for file in (once, thrice))
    constants = 512 * inputs * 2 + 512 * 4
    assert (one.tasks, three.tasks) == (1, 3)
    assert (constants > BUFFER_BYTES) == (reads > 1)
    assert three.moved_bytes - one.moved_bytes == (reads - 1) * constants
    again = (reads - 1) * constants / FITTED.weight_bytes
    assert three.parts.total - one.parts.total == pytest.approx(2 * FITTED.task + again)


def test_the_cpu_s_least_is_its_peak_and_its_most_counts_layers() -> None:
    least, most = numpy_seconds(19_200_000, 3)
    assert math.isclose(least, 1e-3)
    assert math.isclose(most, 4e-3 + 48e-6)
