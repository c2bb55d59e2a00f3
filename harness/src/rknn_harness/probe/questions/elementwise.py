"""float16 by element: what multiplying, adding and dividing leave, as the refined activations use them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import attrs
import numpy as np
import onnx
from onnx import helper, numpy_helper

from rknn_harness.probe.models import Model, dense
from rknn_harness.probe.question import PredictionQuestion, Question
from rknn_harness.probe.questions.float_rounding import rounded
from scirknn.arrays import Array

__all__ = ["ELEMENTWISE_QUESTIONS", "with_quotient"]

_CHANNELS: Final = 8
_SAMPLES: Final = 128


def with_quotient(model: Model) -> Model:
    """Add y / (y * y + 1), as `sklearn2rknn.network.onnx_graph` writes it behind a layer's tanh."""
    graph = onnx.load_model_from_string(model.graph)
    graph.graph.node[-1].output[0] = "dense"
    graph.graph.initializer.append(numpy_helper.from_array(np.ones((1, 1, 1, 1), np.float32), "one"))
    graph.graph.node.extend(
        helper.make_node(operator, inputs, [output])
        for operator, inputs, output in (
            ("Mul", ["dense", "dense"], "square"),
            ("Add", ["square", "one"], "divisor"),
            ("Div", ["dense", "divisor"], "y"),
        )
    )
    onnx.checker.check_model(graph)
    return attrs.evolve(model, graph=graph.SerializeToString())


def _half(values: Array) -> Array:
    return rounded(values, "nearest_even")


def _single(values: Array) -> Array:
    return values.astype(np.float32).astype(np.float64)


def _predictions(x: Array) -> dict[str, Array]:
    x = x.astype(np.float64)
    divisor = _half(_half(x * x) + 1)
    return {
        "rounded": _half(x / divisor),
        "in_one": _half(_single(x / _single(_single(x * x) + 1))),
        "cut": rounded(x / rounded(rounded(x * x, "toward_zero") + 1, "toward_zero"), "toward_zero"),
        "half_reciprocal": _half(x * _half(1 / divisor)),
        "short_reciprocal": _half(x * rounded(1 / divisor, "nearest_even", 14)),
    }


def _division() -> Question:
    rows = (
        np.random.default_rng(7).uniform(-1, 1, (_SAMPLES, _CHANNELS)).astype(np.float16).astype(np.float32)
    )
    answers: Mapping[str, str] = {
        "rounded": "Each of the three is rounded once, to the nearest float16.",
        "in_one": "They are done in float32 and rounded at the end.",
        "cut": "Each of the three is cut off to float16.",
        "half_reciprocal": "Divided is by multiplying with a float16 reciprocal.",
        "short_reciprocal": "Divided is by multiplying with a reciprocal of 14 bits.",
    }
    return PredictionQuestion(
        name="division",
        text="What are products, sums and quotients of single elements rounded to?",
        why="A refined tanh or sigmoid is a multiplication, an addition and a division.",
        answers=answers,
        assumed="rounded",
        decided_in="virtual_npu.execute.data_processor",
        model=with_quotient(dense(np.eye(_CHANNELS), samples=_SAMPLES)),
        rows=rows,
        predict=lambda _: _predictions(rows),
    )


ELEMENTWISE_QUESTIONS: Final[tuple[Question, ...]] = (_division(),)
