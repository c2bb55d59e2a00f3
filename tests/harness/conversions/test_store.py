"""A stored conversion is the conversion, and a damaged one is none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import sklearn2rknn
from rknn_harness.conformance.convert_stage import Converted
from rknn_harness.conformance.trial import CaseFacts, CaseFiles, Ending, HostTrial
from rknn_harness.conversions.packed import PackedConversion, pack
from rknn_harness.conversions.source import ConversionSource
from rknn_harness.conversions.store import ConversionStore
from rknn_harness.conversions.task import ConversionTask
from rknn_harness.records.case import Case, dataset_case
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.phases import Phase

TOOLKIT = "2.3.2"


def case(name: str = "iris", precision: str = "float16") -> Case:
    return dataset_case(name, precision, TOOLKIT, (64,))


class CountingToolkit(sklearn2rknn.Toolkit):
    """A toolkit that counts what another builds."""

    def __init__(self, toolkit: sklearn2rknn.Toolkit) -> None:
        super().__init__(toolkit.environment)
        self._toolkit, self.builds = toolkit, 0

    def start(self, model: bytes, **named: Any) -> Any:
        self.builds += 1
        return self._toolkit.start(model, **named)


def test_a_second_conversion_comes_from_the_store_and_is_the_first(
    toolkit: sklearn2rknn.Toolkit, tmp_path: Path
) -> None:
    counting = CountingToolkit(toolkit)
    source = ConversionSource({TOOLKIT: TOOLKIT}, ConversionStore(tmp_path / "store"))
    trials = [HostTrial(case=case(), toolkit=counting, files=CaseFiles()) for _ in range(2)]
    converted, built = [], []
    for number, trial in enumerate(trials):
        folder = tmp_path / str(number)
        folder.mkdir()
        converted.append(source.convert(trial, folder))
        built.append(counting.builds)
    assert built == [2, 2]
    assert [Phase.CONVERT.value in trial.clock.seconds for trial in trials] == [True, False]
    assert [Phase.STORE.value in trial.clock.seconds for trial in trials] == [False, True]
    assert_same(*converted)


def assert_same(first: Converted | Ending, second: Converted | Ending) -> None:
    assert isinstance(first, Converted)
    assert isinstance(second, Converted)
    for name in ("facts", "findings", "refusal", "is_conv", "layers_required_on_npu"):
        assert getattr(second, name) == getattr(first, name)
    np.testing.assert_array_equal(second.step, first.step)
    np.testing.assert_array_equal(second.judged, first.judged)
    for mine, other in ((first.answers, second.answers), (first.limits, second.limits)):
        assert set(other) == set(mine)
        for stage in mine:
            fields = attrs.fields_dict(type(mine[stage]))
            for name in fields:
                np.testing.assert_array_equal(getattr(other[stage], name), getattr(mine[stage], name))
    X = first.reference.X
    assert first.model is not None
    assert second.model is not None
    np.testing.assert_array_equal(second.model.raw_output(X), first.model.raw_output(X))


FACTS = CaseFacts(3, 4, (0.1, 0.2), {"onnx 0": "ab"}, (("a", "Conv", "npu"),), ("note",), 1, {"silicon": 2})


@pytest.mark.parametrize(
    ("ending", "lasts"),
    [
        (Ending(Outcome.UNSUPPORTED, Stage.ONNX, "too large", FACTS), True),
        (Ending(Outcome.CONVERT_ERROR, Stage.SIMULATOR, "Reshape"), True),
        (Ending(Outcome.MISMATCH, None, "other"), True),
        (Ending(Outcome.TIMEOUT, Stage.SIMULATOR, "late"), False),
        (Ending(Outcome.INFRA_ERROR, Stage.SIMULATOR, "no room"), False),
    ],
    ids=lambda value: value.outcome.value if isinstance(value, Ending) else "",
)
def test_an_ending_is_unpacked_as_it_was_and_kept_where_it_is_the_models(ending: Ending, lasts: bool) -> None:
    packed = PackedConversion.from_bytes(pack(ending))
    assert packed.ending == ending
    assert packed.is_lasting is lasts


DONE = Ending(Outcome.UNSUPPORTED, Stage.ONNX, "too large")
LOST = Ending(Outcome.INFRA_ERROR, Stage.SIMULATOR, "The scheduler was lost.")


class LostEngine:
    """An engine that is lost when the first of its tasks is done."""

    def start(self, tasks: Iterable[ConversionTask], keep: Callable[[str, bytes], object] | None) -> None:
        first, *_ = tasks
        assert keep is not None
        keep(first.key, pack(DONE))

    def is_done(self, key: str) -> bool:
        return True

    def result(self, task: ConversionTask) -> bytes | Ending:
        return LOST


def test_what_was_kept_before_a_scheduler_was_lost_is_not_lost_with_it(tmp_path: Path) -> None:
    source = ConversionSource({TOOLKIT: TOOLKIT}, ConversionStore(tmp_path / "store"), LostEngine())
    trials = [HostTrial(case=case(name), toolkit=None, files=CaseFiles()) for name in ("iris", "wine")]
    source.start([trial.case for trial in trials], CaseFiles())
    assert [source.convert(trial, tmp_path) for trial in trials] == [DONE, LOST]


def test_what_is_stored_stays_and_a_damaged_file_is_absent_until_it_is_written_again(tmp_path: Path) -> None:
    store = ConversionStore(tmp_path / "store")
    assert store.get("key") is None
    store.put("key", b"first")
    store.put("key", b"second")
    assert store.get("key") == b"first"
    (file,) = (tmp_path / "store").iterdir()
    content = file.read_bytes()
    for damaged in (content[:-1], content[:-1] + b"x", b"", content[:10]):
        file.write_bytes(damaged)
        assert store.get("key") is None
    store.put("key", b"third")
    assert store.get("key") == b"third"


def test_a_key_changes_with_each_thing_that_a_conversion_depends_on() -> None:
    task = ConversionTask(case(), TOOLKIT)
    others = [
        ConversionTask(case("wine"), TOOLKIT),
        ConversionTask(case(precision="int8"), TOOLKIT),
        ConversionTask(attrs.evolve(case(), options=(("form", "gemm"),)), TOOLKIT),
        ConversionTask(attrs.evolve(case(), batch_size=(1,)), TOOLKIT),
        ConversionTask(attrs.evolve(case(), toolkit="2.5.0"), "2.5.0"),
        ConversionTask(case(), f"{TOOLKIT}@container"),
        attrs.evolve(task, files={"model.skops": b"a"}),
        attrs.evolve(task, files={"model.skops": b"b"}),
        attrs.evolve(task, versions={**task.versions, "numpy": "0.1"}),
    ]
    assert ConversionTask.from_plain(task.to_plain()).key == task.key
    assert len({each.key for each in (task, *others)}) == 1 + len(others)
