"""A conversion and its checks as a task: plain data in, bytes out, the same wherever it runs."""

from __future__ import annotations

import atexit
import functools
import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

import sklearn2rknn
from rknn_harness.conformance.run_case import convert_model
from rknn_harness.conformance.trial import CaseFiles, Ending, HostTrial
from rknn_harness.conversions.packed import pack
from rknn_harness.conversions.versions import differences, versions
from rknn_harness.models.own_model import kept_model
from rknn_harness.records.case import Case
from rknn_harness.records.outcomes import Outcome, Stage
from scirknn.files import sha256_of_bytes
from scirknn.temporary import TemporaryFolder

_TURN = threading.Lock()  # warnings, which the converter's refusals are, belong to the process
_FOLDERS = {"corpus": "id", "own": "source"}


@attrs.frozen
class ConversionTask:
    """What a conversion and its checks depend on.

    Attributes
    ----------
    case : Case
    toolkit : str
        What to open: the version, and after an ``@`` what it is to run in.
    files : mapping of str to bytes
        Those of a model of the corpus, or of the user's own, by name.
    trust_pickle : bool
        Load a user's pickle whatever it names.
    versions : mapping of str to str
        Of what computes it, see `rknn_harness.conversions.versions.versions`.
    key : str
        Name of what comes of it: equal for equal tasks, on every machine.
    """

    case: Case
    toolkit: str
    files: Mapping[str, bytes] = attrs.field(factory=dict)
    trust_pickle: bool = False
    versions: Mapping[str, str] = attrs.field(factory=versions)
    key: str = attrs.field(init=False)

    @key.default
    def _digest(self) -> str:
        digests = {name: sha256_of_bytes(content) for name, content in self.files.items()}
        document = json.dumps({**self.to_plain(), "files": digests}, sort_keys=True)
        return f"convert-{self.case.toolkit}-{self.case.precision}-{sha256_of_bytes(document.encode())[:40]}"

    @classmethod
    def of(cls, case: Case, toolkit: str, files: CaseFiles) -> ConversionTask:
        """Return the task of a case, with the files of its model.

        Raises
        ------
        OSError
        """
        parent = {"corpus": files.corpus, "own": files.models}.get(case.kind)
        contents = {}
        if parent is not None:
            folder = parent / _folder_of(case)
            contents = {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}
        return cls(case, toolkit, contents, files.trust_pickle)

    def to_plain(self) -> dict[str, Any]:
        """Return the task as bytes, text, numbers, and mappings and lists of these."""
        return {
            "case": self.case.to_json(),
            "toolkit": self.toolkit,
            "files": dict(self.files),
            "trust_pickle": self.trust_pickle,
            "versions": dict(self.versions),
        }

    @classmethod
    def from_plain(cls, document: Mapping[str, Any]) -> ConversionTask:
        """Read what `to_plain` returned."""
        return cls(**{**document, "case": Case.from_json(document["case"])})


def do_task(document: Mapping[str, Any]) -> bytes:
    """Convert and check; return what `rknn_harness.conversions.packed` reads.

    A process keeps the toolkits that it opened.

    Parameters
    ----------
    document : mapping
        Of `ConversionTask.to_plain`.
    """
    task = ConversionTask.from_plain(document)
    wrong = differences(task.versions)
    if wrong:
        return pack(Ending(Outcome.INFRA_ERROR, Stage.SIMULATOR, f"A worker has {wrong}."))
    with _TURN, TemporaryFolder() as folder, np.errstate(all="ignore"):
        try:
            toolkit = _toolkit(task.toolkit)
        except (sklearn2rknn.Sklearn2RknnError, OSError) as error:
            reason = f"No toolkit on a worker: {error}"
            return pack(Ending(Outcome.INFRA_ERROR, Stage.SIMULATOR, reason))
        place = folder / _folder_of(task.case)
        place.mkdir(parents=True)
        for name, content in task.files.items():
            (place / Path(name).name).write_bytes(content)
        own = None
        if task.case.kind == "own":
            own = kept_model(place, trust_pickle=task.trust_pickle)
        corpus = folder if task.files and task.case.kind == "corpus" else None
        trial = HostTrial(case=task.case, toolkit=toolkit, files=CaseFiles(corpus=corpus))
        return pack(convert_model(trial, folder, own))


def _folder_of(case: Case) -> str:
    return str(getattr(case, _FOLDERS.get(case.kind, "id")))


@functools.cache
def _toolkit(choice: str) -> sklearn2rknn.Toolkit:
    toolkit = sklearn2rknn.open_toolkit(choice)
    atexit.register(toolkit.close)
    return toolkit
