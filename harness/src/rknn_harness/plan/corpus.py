"""Earlier failures, kept as files: they are tried first, however the strategies change.

::

    corpus/<case's id>/
        spec.json       the case, its outcome, stage and reason
        model.skops     the estimator
        inputs.npy      rows
        expected.npy    scikit-learn's output before the output activation
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import skops.io

from rknn_harness.errors import HarnessError
from rknn_harness.models.family_model import build_family_model
from rknn_harness.models.random_mlp import build_estimator, build_rows
from rknn_harness.records.case import Case
from rknn_harness.records.case_result import CaseResult
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.reading import READ_ERRORS, check_record, read_document
from rknn_harness.records.specs.family_spec import FamilySpec
from rknn_harness.records.specs.mlp_spec import MlpSpec
from rknn_harness.verdicts.reference import reference
from scirknn.arrays import Array
from scirknn.cli.table_files import map_array
from sklearn2rknn.estimators.model_file import load_model


class CorpusError(HarnessError):
    """An entry of the corpus cannot be read, or scikit-learn answers it differently."""


def keep(corpus: Path, result: CaseResult) -> None:
    """Keep the failure of a random network or of a drawn model, unless it is kept already."""
    case = result.case
    path = corpus / case.id
    if path.exists() or isinstance(case.source, str) or case.is_of_data_set:
        return
    part = corpus / f".{case.id}.{os.getpid()}.part"
    part.mkdir(parents=True)
    try:
        estimator, X = _build(case.source)
        document = {
            **attrs.evolve(case, kind="corpus").to_json(),
            "board": result.board,
            "outcome": result.outcome.value,
            "stage": None if result.stage is None else result.stage.value,
            "reason": result.reason,
            "properties": {name: wrong for name, wrong in result.properties.items() if wrong},
            "defect": result.defect,
        }
        (part / "spec.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
        skops.io.dump(estimator, part / "model.skops")
        np.save(part / "inputs.npy", X, allow_pickle=False)
        np.save(part / "expected.npy", reference(estimator, X).answer.output, allow_pickle=False)
        os.rename(part, path)
    except OSError:
        if not path.is_dir():  # another run, with the same corpus, was faster
            raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _build(source: MlpSpec | FamilySpec) -> tuple[Any, Array]:
    if isinstance(source, MlpSpec):
        return build_estimator(source), build_rows(source)
    model = build_family_model(source)
    return model.estimator, model.rows


def corpus_cases(corpus: Path) -> Iterator[Case]:
    """Yield every entry's case, in the order of their names; none where there is no corpus.

    What a run that was killed had not written in full has a name that begins with a dot.
    """
    for path in sorted(corpus.glob("[!.]*/spec.json")):
        yield read_case(path.parent)


def read_case(entry: Path) -> Case:
    """Read an entry's case.

    Raises
    ------
    CorpusError
    """
    return _read(entry)[0]


def read_verdict(entry: Path) -> tuple[str, str | None]:
    """Read the outcome and the stage that an entry was kept for.

    Raises
    ------
    CorpusError
    """
    return _read(entry)[1]


def _read(entry: Path) -> tuple[Case, tuple[str, str | None]]:
    try:
        document = read_document(entry / "spec.json")
        case = Case.from_json(document)
        check_record(case)
        if case.id != entry.absolute().name:
            raise ValueError(f"it is {case.id!r:.80}")
        stage = document["stage"]
        return case, (Outcome(document["outcome"]).value, None if stage is None else Stage(stage).value)
    except (OSError, *READ_ERRORS) as error:
        raise CorpusError(f"{entry} is no entry of a corpus: {error!r:.200}.") from None


def read_model(entry: Path) -> tuple[Any, Array]:
    """Return an entry's estimator and rows.

    Raises
    ------
    CorpusError
        They cannot be read, or scikit-learn answers them differently.
    """
    try:
        estimator = load_model(entry / "model.skops")
        X, expected = _array(entry / "inputs.npy"), _array(entry / "expected.npy")
    except (OSError, ValueError) as error:
        raise CorpusError(f"{entry} cannot be read: {error!r:.200}.") from None
    output = reference(estimator, X).answer.output
    # float64 sums differ between processors in their last bits.
    if output.shape != expected.shape or not np.allclose(
        output, expected, rtol=1e-9, atol=1e-12 * np.abs(X).max()
    ):
        raise CorpusError(f"scikit-learn's answer to {entry.name} is no longer the one that was kept.")
    return estimator, X


def _array(path: Path) -> Array:
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is no regular file")
    return np.array(map_array(path))
