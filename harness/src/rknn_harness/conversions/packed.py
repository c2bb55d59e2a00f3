"""A conversion and its checks as bytes: a NumPy archive without pickles, which any process can read."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import numpy as np

import scirknn
from rknn_harness.conformance.convert_stage import BUNDLE, Converted, is_convolutions
from rknn_harness.conformance.properties import output_step
from rknn_harness.conformance.run_case import Prepared
from rknn_harness.conformance.stage_outputs import model_files
from rknn_harness.conformance.trial import CaseFacts, Ending
from rknn_harness.records.case import Case
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.verdicts.judge import Finding
from rknn_harness.verdicts.limits import Limits
from rknn_harness.verdicts.reference import Answer, answer_from_output
from scirknn.arrays import Array
from scirknn.bundle import bundle_files
from scirknn.text import parse_json

_FILE = "file "
_ARRAYS_OF_LIMITS = ("output", "counted")
_ARRAYS_OF_ANSWERS = ("output", "rows")
_PASSING = (Outcome.INFRA_ERROR, Outcome.TIMEOUT)
"""Outcomes that say nothing of the model: later, or on another machine, it may be converted."""


def pack(converted: Converted | Ending) -> bytes:
    """Return what the stages before the board gave, as bytes."""
    arrays: dict[str, Array] = {}
    if isinstance(converted, Ending):
        document: dict[str, Any] = {"ending": attrs.asdict(converted)}
    else:
        arrays = dict(_arrays(converted))
        document = {
            "facts": attrs.asdict(converted.facts),
            "findings": [attrs.asdict(each) for each in converted.findings],
            "refusal": converted.refusal,
            "limits": {
                stage.value: attrs.asdict(limits, filter=lambda field, _: field.name not in _ARRAYS_OF_LIMITS)
                for stage, limits in converted.limits.items()
            },
            "is_executed": converted.model is not None,
        }
    text = json.dumps(document)
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{**arrays, "document": np.frombuffer(text.encode(), np.uint8)})
    return buffer.getvalue()


def _arrays(converted: Converted) -> Iterator[tuple[str, Array]]:
    for path in bundle_files(converted.bundle):
        yield _FILE + path.name, np.frombuffer(path.read_bytes(), np.uint8)
    for kind, fields, values in (
        ("answer", _ARRAYS_OF_ANSWERS, converted.answers),
        ("limits", _ARRAYS_OF_LIMITS, converted.limits),
    ):
        for stage, value in values.items():
            for field in fields:
                array = getattr(value, field)
                if array is not None:
                    yield f"{kind} {stage.value} {field}", array


@attrs.frozen(eq=False)
class PackedConversion:
    """What `pack` wrote.

    Attributes
    ----------
    document : mapping
        JSON types.
    arrays : mapping of str to numpy.ndarray
        The bundle's files too, as bytes.
    """

    document: Mapping[str, Any]
    arrays: Mapping[str, Array]

    @classmethod
    def from_bytes(cls, content: bytes) -> PackedConversion:
        """Read what `pack` returned.

        Raises
        ------
        ValueError, zipfile.BadZipFile
            It is something else.
        """
        with zipfile.ZipFile(io.BytesIO(content)) as members:
            if sum(each.file_size for each in members.infolist()) > len(content):
                raise ValueError("a packed conversion is compressed, which none is")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        return cls(parse_json(arrays.pop("document").tobytes(), finite=False), arrays)

    @property
    def ending(self) -> Ending | None:
        """How the case ended before the board; None where it goes on there."""
        ending = self.document.get("ending")
        if ending is None:
            return None
        stage = None if ending["stage"] is None else Stage(ending["stage"])
        return Ending(
            Outcome(ending["outcome"]), stage, ending["reason"], _facts(ending["facts"]), ending["cause"]
        )

    @property
    def is_lasting(self) -> bool:
        """Whether the same would come of it at any time on any machine."""
        return self.ending is None or self.ending.outcome not in _PASSING

    def unpack(self, case: Case, prepared: Prepared, folder: Path) -> Converted | Ending:
        """Return what was packed.

        Parameters
        ----------
        case : Case
        prepared : Prepared
            The case's model and scikit-learn's answer, which are not packed.
        folder : pathlib.Path
            Where the bundle is written.
        """
        if self.ending is not None:
            return self.ending
        for name, content in self.arrays.items():
            if name.startswith(_FILE):
                (folder / Path(name.removeprefix(_FILE)).name).write_bytes(content.tobytes())
        document, truth = self.document, prepared.truth
        bundle = scirknn.read_bundle(folder / BUNDLE)
        files = model_files(bundle)
        return Converted(
            bundle=bundle,
            files=files,
            model=scirknn.load(bundle.path, device="virtual") if document["is_executed"] else None,
            reference=truth,
            limits={Stage(stage): self._limits(stage) for stage in document["limits"]},
            answers=self._answers(prepared),
            step=output_step(bundle, truth.answer.output, files),
            judged=prepared.tried.judged,
            facts=_facts(document["facts"]),
            is_conv=is_convolutions(case),
            findings=tuple(_finding(each) for each in document["findings"]),
            refusal=document["refusal"],
        )

    def _limits(self, stage: str) -> Limits:
        arrays = {field: self.arrays.get(f"limits {stage} {field}") for field in _ARRAYS_OF_LIMITS}
        return Limits(**{**self.document["limits"][stage], **arrays})

    def _answers(self, prepared: Prepared) -> dict[Stage, Answer]:
        answers = {}
        for stage in Stage:
            output, rows = (self.arrays.get(f"answer {stage.value} {field}") for field in _ARRAYS_OF_ANSWERS)
            if output is not None:
                answers[stage] = answer_from_output(prepared.truth, output, rows)
        return answers


def _facts(document: Mapping[str, Any]) -> CaseFacts:
    low_high = document["estimate"]
    converted = {
        "estimate": None if low_high is None else (low_high[0], low_high[1]),
        "placement": tuple((name, kind, where) for name, kind, where in document["placement"]),
        "notes": tuple(document["notes"]),
    }
    return CaseFacts(**{**document, **converted})


def _finding(document: Mapping[str, Any]) -> Finding:
    stage, outcome = Stage(document["stage"]), Outcome(document["outcome"])
    return Finding(**{**document, "stage": stage, "outcome": outcome})
