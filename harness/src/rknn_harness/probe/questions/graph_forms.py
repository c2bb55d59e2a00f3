"""The forms that a dense layer can be written in: where the toolkit places each, and whether it runs."""

from __future__ import annotations

import functools
from typing import Any, Final

import numpy as np

import virtual_npu
from rknn_harness.errors import BoardError
from rknn_harness.probe.bench import Bench, refusal
from rknn_harness.probe.models import FORMS, Form, Model, dense
from rknn_harness.probe.question import Answer, FunctionQuestion, Question
from scirknn.arrays import Array
from sklearn2rknn.errors import ConversionError

_WHERE: Final = {
    "height": "the height of a 1x1 convolution",
    "width": "the width of a 1x1 convolution",
    "batch": "the batch of a 1x1 convolution",
    "matmul": "the rows of a MatMul",
}
# What virtual_npu makes of them.
_ASSUMED: Final = {
    "height": "right_on_npu",
    "width": "right_on_npu",
    "batch": "right_on_npu",
    "matmul": "right_with_cpu",
}


def example(form: Form, samples: int = 16) -> tuple[Model, Array, Array]:
    """Return a model, rows for it, and its outputs in float64, shape (N, K)."""
    rng = np.random.default_rng(5)
    weights = [rng.normal(size=shape) / np.sqrt(shape[1]) for shape in ((32, 64), (10, 32))]
    rows = rng.normal(size=(samples, 64)).astype(np.float32)
    hidden = np.maximum(rows.astype(np.float64) @ weights[0].T, 0)
    model = dense(*weights, samples=samples, activation="Relu", form=form)
    return model, rows, np.maximum(hidden @ weights[1].T, 0)


def _run_form(form: Form, bench: Bench) -> Answer:
    """Build it, see where its layers are, run it."""
    model, rows, truth = example(form)
    try:
        file = bench.file(model)
    except ConversionError as error:
        return Answer("not_built", note=str(error))
    layers = [[name, kind, where] for name, kind, where in virtual_npu.placement(virtual_npu.read(file))]
    figures: dict[str, Any] = {"layers": layers}
    try:
        outputs = bench.run(model, rows)
    except BoardError as error:
        return Answer("refused", figures, note=refusal(error))
    largest = float(abs(outputs - truth).max())
    figures["largest_error"] = largest
    # Two layers, values of about 1: float16 leaves 1e-2 at most; what is wrong is off by 1.
    right = "right_on_npu" if all(where == "NPU" for *_, where in layers) else "right_with_cpu"
    key = right if largest < 2.0**-5 else "wrong"
    return Answer.of_run(key, figures, rows, outputs)


FORM_QUESTIONS: Final[tuple[Question, ...]] = tuple(
    FunctionQuestion(
        run=functools.partial(_run_form, form),
        name=f"form_{form}",
        text=f"Does a network whose rows lie on {_WHERE[form]} run, and where?",
        why="The vendor's operator lists and users' reports contradict each other.",
        answers={
            "right_on_npu": "It runs, all on the NPU, and is right.",
            "right_with_cpu": "It runs, some layers on the CPU, and is right.",
            "wrong": "It runs and is wrong.",
            "refused": "The runtime refuses it.",
            "not_built": "The toolkit does not build it.",
        },
        assumed=_ASSUMED[form],
        decided_in="virtual_npu.execute.virtual_npu",
    )
    for form in FORMS
)
