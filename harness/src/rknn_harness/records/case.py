"""One model to try, as plain data that a line of JSON holds."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from rknn_harness.records.specs.family_spec import FamilySpec
from rknn_harness.records.specs.mlp_spec import MlpSpec
from scirknn.files import sha256_of_bytes

__all__ = [
    "ONE_PROGRAM",
    "PRECISIONS",
    "PROPERTIES",
    "Case",
    "Key",
    "Score",
    "dataset_case",
    "family_case",
    "file_name",
    "own_case",
    "random_case",
]

PRECISIONS = ("float16", "int8", "int16")

PROPERTIES = {
    "bound": "the output lies within the derived bound of scikit-learn's",
    "labels": "labels are scikit-learn's, away from ties",
    "methods": "each method answers in scikit-learn's form and within the carried bound",
    "onnx_equals_sklearn": "the float32 graph computes what scikit-learn does",
    "simulator_equals_virtual_npu": "the vendor's simulator and the virtual NPU compute the same",
    "board_equals_virtual_npu": "the board computes what the virtual NPU does",
    "rows_independent": "a row's answer depends neither on its neighbours nor on padding",
    "input_forms": "the input's dtype and memory order change nothing",
    "deterministic": "the same rows give the same answer twice",
    "cores_agree": "each core, and the pool of them, gives the same answer",
    "digest_reproducible": "two conversions give files of the same content",
    "all_on_npu": "no layer is placed on the CPU",
    "batch_latency": "a call of many rows takes no longer than as many calls of one",
    "latency_baseline": "a call takes no longer than a stated factor of the last accepted run's",
}
"""The properties of every case, by name: each either holds or fails with a sentence."""

ONE_PROGRAM = ("board_equals_virtual_npu", "deterministic", "cores_agree")
"""Properties that say nothing of a chip on a virtual board: one program is compared with itself there."""

Key = tuple[str, str, str]
"""Of a result in a run: the case's id, the toolkit, the board."""


@attrs.frozen
class Case:
    """A model, and how it is to be converted.

    Attributes
    ----------
    id : str
        The same in every run, whatever the toolkit, so that two runs can be compared case by case.
    kind : {"dataset", "random", "family", "corpus", "own"}
        A random network that failed once is tried from the corpus, as it was then; a user's own model is kept
        in the run's folder.
    source : str, MlpSpec or FamilySpec
        The name of a fixed model (`rknn_harness.models.datasets`) or of the user's own, or the spec of a
        random network or of a model of another family.
    precision : {"float16", "int8", "int16"}
    toolkit : str
        Version of rknn-toolkit2.
    batch_size : tuple of int
        Rows per run of each model file.
    options : tuple of (str, str)
        Other options of the conversion, sorted by name; empty for the converter's own defaults.
    second_build : bool
        Whether its file is built a second time, for `digest_reproducible`: a run draws a share of its cases,
        see `rknn_harness.plan.second_builds`.
    """

    id: str
    kind: str
    source: str | MlpSpec | FamilySpec
    precision: str
    toolkit: str
    batch_size: tuple[int, ...]
    options: tuple[tuple[str, str], ...] = ()
    second_build: bool = True

    @property
    def group(self) -> str:
        """The group that the case is counted in: its model's name or family, or ``random``."""
        if isinstance(self.source, FamilySpec):
            return self.source.family
        return self.source if isinstance(self.source, str) else self.kind

    @property
    def is_drawn(self) -> bool:
        """Whether its model was drawn, so that a failing one can be made smaller."""
        return self.kind in ("random", "family") and not self.is_of_data_set

    @property
    def is_of_data_set(self) -> bool:
        """Whether its rows are a data set's, so that the converter's promise is held to."""
        if isinstance(self.source, FamilySpec):
            return self.source.data != "drawn"
        return self.kind == "dataset"

    @property
    def family(self) -> str:
        """Its model's name or family, or the task of a random network."""
        return f"{self.kind} {self.source.task}" if isinstance(self.source, MlpSpec) else self.group

    def to_json(self) -> dict[str, Any]:
        """Return the case as JSON types."""
        source = {"name": self.source} if isinstance(self.source, str) else self.source.to_json()
        return {
            "id": self.id,
            "kind": self.kind,
            "spec": source,
            "precision": self.precision,
            "toolkit": self.toolkit,
            "batch_size": list(self.batch_size),
            "options": dict(self.options),
            "second_build": self.second_build,
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Case:
        """Read what `to_json` wrote.

        Raises
        ------
        KeyError, TypeError, ValueError
            It is not such a document.
        """
        kind, spec = document["kind"], document["spec"]
        if kind not in ("dataset", "random", "family", "corpus", "own"):
            raise ValueError(f"No case is of kind {kind!r}.")
        source = file_name(spec["name"]) if kind in ("dataset", "own") else _read_spec(spec)
        return cls(
            file_name(document["id"]),
            kind,
            source,
            document["precision"],
            "" if document["toolkit"] == "" else file_name(document["toolkit"]),  # "": the host computes
            batch_size=tuple(document["batch_size"]),
            options=tuple(sorted(document["options"].items())),
            second_build=document.get("second_build", True),  # records of before lack it
        )

    document, from_document = to_json, from_json  # deprecated names


def file_name(text: Any) -> str:
    """Return a text that names a file in a folder, and leads nowhere else.

    Raises
    ------
    ValueError
    """
    if not isinstance(text, str) or text in ("", ".", "..") or "/" in text or "\0" in text:
        raise ValueError(f"{text!r:.60} is no name of a file")
    return text


def _read_spec(document: dict[str, Any]) -> MlpSpec | FamilySpec:
    return FamilySpec.from_json(document) if "family" in document else MlpSpec.from_json(document)


def dataset_case(name: str, precision: str, toolkit: str, batch_size: tuple[int, ...]) -> Case:
    """Return the case of a real data set."""
    return _named_case("dataset", name, precision, toolkit, batch_size)


def own_case(name: str, precision: str, toolkit: str, batch_size: tuple[int, ...]) -> Case:
    """Return the case of a user's own model; it is kept in the run's folder under `name`."""
    return _named_case("own", name, precision, toolkit, batch_size)


def _named_case(kind: str, name: str, precision: str, toolkit: str, batch_size: tuple[int, ...]) -> Case:
    return Case(f"{name}-{precision}-n{_sizes(batch_size)}", kind, name, precision, toolkit, batch_size)


def random_case(
    spec: MlpSpec,
    precision: str,
    toolkit: str,
    batch_size: tuple[int, ...],
    options: tuple[tuple[str, str], ...] = (),
) -> Case:
    """Return the case of a random network, named by what it is and by a digest of its spec."""
    digest = _digest(spec)
    widths = "-".join(map(str, spec.widths))
    chosen = "".join(f"-{name}.{value}" for name, value in options)
    name = f"{spec.task}-{spec.activation}-{widths}-{precision}-n{_sizes(batch_size)}{chosen}-{digest}"
    return Case(name, "random", spec, precision, toolkit, batch_size, options)


def family_case(spec: FamilySpec, precision: str, toolkit: str, batch_size: tuple[int, ...]) -> Case:
    """Return the case of a model of a family, named by its kind and data and by a digest of its spec."""
    kind = spec.kind.replace(" ", "_")
    bad = f"-e{spec.decades}" if spec.decades else ""
    name = f"{kind}-{spec.data}{bad}-{precision}-n{_sizes(batch_size)}-{_digest(spec)}"
    return Case(name, "family", spec, precision, toolkit, batch_size)


def _digest(spec: MlpSpec | FamilySpec) -> str:
    return sha256_of_bytes(json.dumps(spec.to_json(), sort_keys=True).encode())[:8]


def _sizes(batch_size: tuple[int, ...]) -> str:
    return "+".join(map(str, batch_size))


@attrs.frozen
class Score:
    """A model's score against true labels or values, beside scikit-learn's.

    Attributes
    ----------
    measure : {"accuracy", "R2"}
    rows : int
        Rows that were counted: those that the file was not built from.
    board : float or None
        None where `rows` are too few.
    sklearn : float or None
        scikit-learn's own; None too where there is no estimator.
    """

    measure: str
    rows: int
    board: float | None
    sklearn: float | None
