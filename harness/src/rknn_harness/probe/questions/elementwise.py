"""float16 by element: what multiplying, adding and dividing leave.

Refined activations use all three, outputs in two parts an addition.
"""

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


def with_added_product(model: Model, kernels: Array) -> Model:
    """Add a product with the same rows to a layer, and return both results, the layer's first.

    As `sklearn2rknn.network.onnx_graph` writes outputs in two parts. The toolkit makes one program of product
    and addition, ConvAdd.
    """
    graph = onnx.load_model_from_string(model.graph)
    (first,), (output,) = graph.graph.node, graph.graph.output
    first.output[0] = "first"
    graph.graph.initializer.append(numpy_helper.from_array(np.float32(kernels)[:, :, None, None], "added"))
    graph.graph.node.extend(
        [
            helper.make_node("Conv", ["x", "added"], ["product"], kernel_shape=[1, 1]),
            helper.make_node("Add", ["product", "first"], ["sum"]),
            helper.make_node("Concat", ["first", "sum"], ["y"], axis=1),
        ]
    )
    output.type.tensor_type.shape.dim[1].dim_value = 2 * model.outputs
    onnx.checker.check_model(graph)
    return attrs.evolve(model, graph=graph.SerializeToString(), outputs=2 * model.outputs)


def _addition() -> Question:
    """Ask with products a little above 1, of which the layer takes 1 away."""
    rows = np.zeros((_SAMPLES, _CHANNELS), np.float32)
    rows[:, 0], rows[:, 1] = 1, np.arange(1, _SAMPLES + 1) * 2.0**-14
    kernels, ones = np.zeros((2, _CHANNELS, _CHANNELS))
    kernels[:, 0], kernels[:, 1], ones[:, 0] = 1, np.ldexp(1.0, -np.arange(_CHANNELS)), -1
    product, first = (rows.astype(np.float64) @ each.T for each in (kernels, ones))
    return PredictionQuestion(
        name="conv_add",
        text="Is a layer's sum of products rounded before the result of another layer is added to it?",
        why="Outputs in two parts by an added product hold in the second what the first one's rounding lost: "
        "nothing, where the product is rounded too.",
        answers={
            "once": "No: it is added in float32, and the sum is rounded once.",
            "twice": "Yes: it is rounded to float16, and the sum again.",
        },
        assumed="once",
        decided_in="virtual_npu.execute.data_processor_operands",
        blind_spot="It cannot show how an addition that is a program of its own rounds: `division` does.",
        model=with_added_product(dense(ones, samples=_SAMPLES), kernels),
        rows=rows,
        predict=lambda _: {
            "once": np.hstack([first, _half(product + first)]),
            "twice": np.hstack([first, _half(_half(product) + first)]),
        },
    )


ELEMENTWISE_QUESTIONS: Final[tuple[Question, ...]] = (_division(), _addition())
