"""Where the conversions of a run come from: a store, else an engine that does them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Protocol

from rknn_harness.conformance.convert_stage import Converted
from rknn_harness.conformance.run_case import convert_prepared, prepare_case
from rknn_harness.conformance.trial import CaseFiles, Ending, HostTrial
from rknn_harness.conversions.packed import PackedConversion, pack
from rknn_harness.conversions.store import ConversionStore
from rknn_harness.conversions.task import ConversionTask
from rknn_harness.models.own_model import OwnModel, is_estimator
from rknn_harness.records.case import Case
from rknn_harness.records.phases import Phase


class Engine(Protocol):
    """Does conversions in other processes."""

    def start(self, tasks: Iterable[ConversionTask], keep: Callable[[str, bytes], object] | None) -> None:
        """Begin with tasks; call `keep` with the key and the packed conversion of each that is done."""

    def is_done(self, key: str) -> bool:
        """Whether nothing is waited for under a key."""

    def result(self, task: ConversionTask) -> bytes | Ending:
        """Wait for a packed conversion; return an ending where the process that did it died."""


class ConversionSource:
    """Converts the cases of a run.

    Parameters
    ----------
    toolkits : mapping of str to str
        By version, what to open.
    store : ConversionStore, optional
    engine : Engine, optional
        Default: the process that runs a case converts it; a run has as many as ``--jobs`` says.
    """

    def __init__(
        self,
        toolkits: Mapping[str, str],
        store: ConversionStore | None = None,
        engine: Engine | None = None,
    ) -> None:
        self._toolkits, self._store, self._engine = toolkits, store, engine
        self._tasks: dict[Case, ConversionTask] = {}
        self._started: set[str] = set()

    def start(self, cases: Iterable[Case], files: CaseFiles, *, keep: bool = True) -> None:
        """Let the engine begin with what the store does not have; keep each there as soon as it is done.

        Parameters
        ----------
        cases : iterable of Case
        files : CaseFiles
        keep : bool
            False where another process of the run does.
        """
        if self._engine is not None:
            self._tasks = {case: self._task(case, files) for case in cases if is_task(case, files)}
            missing = [task for task in self._tasks.values() if self._stored(task) is None]
            self._started = {task.key for task in missing}
            self._engine.start(missing, self._keep if keep else None)

    def is_ready(self, case: Case) -> bool:
        """Whether a case need not wait for a conversion that was started."""
        task = self._tasks.get(case)
        return task is None or self._engine is None or self._engine.is_done(task.key)

    def convert(self, trial: HostTrial, folder: Path, own: OwnModel | None = None) -> Converted | Ending:
        """Do what `rknn_harness.conformance.run_case.convert_model` does, here or elsewhere."""
        prepared = prepare_case(trial, own)
        if isinstance(prepared, Ending):
            return prepared
        if not prepared.truth.layers:  # the host computes it: there is nothing to convert
            return convert_prepared(trial, folder, prepared)
        task = self._tasks.get(trial.case) or self._task(trial.case, trial.files)
        # What this run started it converts itself, though it may be in the store by now.
        content = None if task.key in self._started else self._stored(task)
        if content is not None:
            with trial.clock(Phase.STORE):
                return PackedConversion.from_bytes(content).unpack(trial.case, prepared, folder)
        if self._engine is None:
            converted = convert_prepared(trial, folder, prepared)
            self._keep(task.key, pack(converted))
            return converted
        with trial.clock(Phase.WAIT):
            result = self._engine.result(task)
        if isinstance(result, Ending):
            # It may have been kept before a scheduler was lost.
            content = self._stored(task)
            if content is None:
                return result
            result = content
        self._keep(task.key, result)
        with trial.clock(Phase.UNPACK):
            return PackedConversion.from_bytes(result).unpack(trial.case, prepared, folder)

    def _stored(self, task: ConversionTask) -> bytes | None:
        return None if self._store is None else self._store.get(task.key)

    def _keep(self, key: str, content: bytes) -> None:
        if self._store is not None and PackedConversion.from_bytes(content).is_lasting:
            self._store.put(key, content)

    def _task(self, case: Case, files: CaseFiles) -> ConversionTask:
        return ConversionTask.of(case, self._toolkits[case.toolkit], files)


def is_task(case: Case, files: CaseFiles) -> bool:
    """Whether a case has a conversion with the converter's guards; a user's bundle has none."""
    if ("guard", "off") in case.options:
        return False
    return case.kind != "own" or files.models is None or is_estimator(files.models / str(case.source))
