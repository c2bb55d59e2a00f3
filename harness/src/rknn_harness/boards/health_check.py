"""A small model that is known to be good, and whether a board runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np

import scirknn
import sklearn2rknn
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.errors import BoardError, BoardHealthError
from rknn_harness.models.random_mlp import build_estimator, build_rows
from rknn_harness.records.specs.mlp_spec import MlpSpec

DEADLINE = 20.0
"""Seconds for a model of a few hundred multiply-adds, the board's imports included."""

TOLERANCE = 0.02
"""Share of the largest output: it distinguishes a sick board from a sound one, not roundings.

A float16 rounding is 2^-11 of a value; ten in each of two layers, all in one direction, are half of it.
"""

_SPEC = MlpSpec(
    n_features=8,
    hidden=(8,),
    activation="relu",
    task="regressor",
    n_outputs=3,
    labels="int",
    weight_scale=1.0,
    rows=64,
    seed=1,
)


@attrs.frozen(eq=False)
class HealthModel:
    """A bundle, its rows, and the virtual NPU's output for them."""

    path: Path
    X: np.ndarray[Any, Any]
    output: np.ndarray[Any, Any]


def health_model(toolkit: sklearn2rknn.Toolkit, folder: Path) -> HealthModel:
    """Convert the model into `folder`.

    Raises
    ------
    sklearn2rknn.Sklearn2RknnError, scirknn.ScirknnError, virtual_npu.VirtualNpuError
        The toolkit cannot make a good one.
    """
    X = build_rows(_SPEC)
    path = folder / "health.rknn"
    sklearn2rknn.convert(build_estimator(_SPEC), path, batch_size=len(X), example_input=X, toolkit=toolkit)
    with scirknn.load(path, device="virtual") as model:
        return HealthModel(path, X, np.asarray(model.raw_output(X), np.float32))


def check_health(session: BoardSession, model: HealthModel) -> None:
    """Run the model twice.

    Raises
    ------
    BoardHealthError, InfraError
        The board fails the model or answers wrongly, or cannot be reached.
    """
    name = session.board.name
    try:
        session.models.load(model.path, deadline=DEADLINE)
        answers = [session.models.predict(model.X, deadline=DEADLINE).output for _ in range(2)]
    except BoardError as error:
        raise BoardHealthError(
            f"{name} fails a small model that is known to be good ({error.type}: {error}). Power-cycle it; "
            "if that does not help, ask 'rknn-harness board doctor', and look at its temperature, its power "
            "supply and dmesg.",
            kind=error.kind,
        ) from error
    allowed = TOLERANCE * float(np.abs(model.output).max())
    for answer in answers:
        if answer.shape != model.output.shape or not np.abs(answer - model.output).max() <= allowed:
            raise BoardHealthError(
                f"{name} answers a small model that is known to be good with {answer.ravel()[:3]}, not "
                f"{model.output.ravel()[:3]}. Power-cycle it.",
                kind="mismatch",
            )
