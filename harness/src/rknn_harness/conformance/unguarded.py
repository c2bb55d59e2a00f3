"""A network converted without the converter's guards, as the vendor's examples show.

A Gemm for each layer, the rows on the first axis, float16, and the features' scaling left to the toolkit's
``mean_values`` and ``std_values``. With the guard off a run meets the defects that the converter avoids; each
is recognised by what the toolkit computed in place of the network, and named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import sklearn2rknn
import virtual_npu
from rknn_harness.boards.session.session import BoardSession
from rknn_harness.models.random_mlp import build_estimator, build_rows, feature_scales
from rknn_harness.records.outcomes import Outcome, Stage
from rknn_harness.records.specs.mlp_spec import MlpSpec
from rknn_harness.verdicts.judge import Verdict, judge
from rknn_harness.verdicts.limits import Limits
from rknn_harness.verdicts.reference import Answer, Reference, answer_from_output, reference
from scirknn.arrays import Array, Floats
from scirknn.bundle import Affine
from sklearn2rknn.checking.arithmetic import FLOAT16, FLOAT32
from sklearn2rknn.checking.float_bounds import output_bound
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.onnx_session import onnx_session

CONSTANT_GRAPH = "are constants, The model is invalid"
"""What the toolkit says of a graph with a layer whose weights are all 0, the defect ``zero-layer``."""

_OPERATORS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}


@attrs.frozen(eq=False)
class UnguardedConversion:
    """A conversion without guards.

    Attributes
    ----------
    truth : Reference
        scikit-learn's answer.
    layers : tuple of Layer
        The graph's, which takes the features divided by their scales.
    scales : numpy.ndarray or None, shape (n_features,)
        Given to the toolkit as ``std_values``.
    runs : numpy.ndarray of float32, shape (runs, N, n_features)
        The rows, the last run padded.
    file : bytes
        The ``.rknn``.
    answers : mapping of Stage to Answer
        Up to the virtual NPU's.
    """

    truth: Reference
    layers: tuple[Layer, ...]
    scales: Floats | None
    runs: Array
    file: bytes
    answers: dict[Stage, Answer]

    def on_board(self, session: BoardSession) -> Answer:
        """Run the file on a board."""
        session.raw_models.load_raw(self.file)
        return _answer(self.truth, [session.raw_models.run_raw(run) for run in self.runs])


def convert_unguarded(spec: MlpSpec, samples: int, toolkit: sklearn2rknn.Toolkit) -> UnguardedConversion:
    """Convert a random network, and run each stage before the board.

    Raises
    ------
    sklearn2rknn.ConversionError, sklearn2rknn.ToolkitError
        The toolkit failed.
    virtual_npu.VirtualNpuError
        Its file cannot be read, or does what is not modelled.
    """
    truth = reference(build_estimator(spec), build_rows(spec))
    scales = feature_scales(spec) if spec.decades else None
    layers = list(truth.layers)
    if scales is not None:
        layers[0] = attrs.evolve(layers[0], weights=layers[0].weights * scales[:, None])
    runs = -(-len(truth.X) // samples)
    rows = np.take(truth.X, np.arange(runs * samples), axis=0, mode="wrap").astype(np.float32)
    packed = rows.reshape(runs, samples, -1)
    model = _gemm_graph(layers, samples)
    config: dict[str, Any] = {"target_platform": "rk3588"}
    if scales is not None:
        config |= {"mean_values": [[0.0] * len(scales)], "std_values": [scales.tolist()]}
    built = toolkit.build(model, config=config, simulate=packed)
    assert built.simulated is not None
    divisors = np.ones(1, np.float32) if scales is None else scales.astype(np.float32)
    session = onnx_session(model)
    npu = virtual_npu.VirtualNpu(virtual_npu.read(built.rknn))
    answers = {
        Stage.ONNX: _answer(truth, [session.run(None, {"x": run / divisors})[0] for run in packed]),
        Stage.SIMULATOR: _answer(truth, list(built.simulated)),
        Stage.VIRTUAL_NPU: _answer(truth, [npu.run(run) for run in packed]),
    }
    return UnguardedConversion(truth, tuple(layers), scales, packed, built.rknn, answers)


def _answer(truth: Reference, outputs: Sequence[Array]) -> Answer:
    """Return a stage's answer from its output of each run."""
    return answer_from_output(truth, np.concatenate(list(outputs))[: len(truth.X)])


def judge_unguarded(
    conversion: UnguardedConversion, board: Answer, again: Floats, *, board_is_virtual: bool
) -> Verdict:
    """Judge every stage by what float16 can do to this network.

    Numbers that leave float16 have no bound; there the stages are held to finite numbers, as scikit-learn's
    are.
    """
    truth, layers, scales = conversion.truth, conversion.layers, conversion.scales
    before = None if scales is None else Affine(np.zeros_like(scales), 1 / scales)
    exact = output_bound(layers, truth.X, FLOAT32, before)
    coarse = Limits("derived, float16", exact + output_bound(layers, truth.X, FLOAT16, before))
    limits = {stage: coarse for stage in Stage} | {Stage.ONNX: Limits("derived, float32", exact)}
    return judge(
        truth,
        {**conversion.answers, Stage.BOARD: board},
        limits,
        again=again,
        board_is_virtual=board_is_virtual,
    )


def defect_of(conversion: UnguardedConversion, verdict: Verdict) -> str:
    """Name the known defect that an unguarded conversion met, as `sklearn2rknn` lists it; "" if none fits.

    The simulator's answer is compared with those of networks that lack what a defect loses. One that lacks
    nothing, as of no narrow layer or without scales, is the network itself, and no defect.
    """
    if verdict.outcome is not Outcome.MISMATCH or verdict.stage is not Stage.SIMULATOR:
        return ""
    output = conversion.answers[Stage.SIMULATOR].output
    no_bias = [
        attrs.evolve(layer, bias=np.zeros_like(layer.bias)) if len(layer.weights) == 1 else layer
        for layer in conversion.layers
    ]
    raw = conversion.truth.X
    scaled = raw if conversion.scales is None else raw / conversion.scales
    right = _output(conversion.layers, scaled)
    for name, layers, X in (
        ("gemm-bias", no_bias, scaled),
        ("mean-std", conversion.layers, raw),
        ("mean-std", no_bias, raw),  # both: a run's smallest case of each has one
    ):
        truth = _output(layers, X)
        bound = output_bound(layers, X, FLOAT16)
        inside = np.isfinite(bound) & np.isfinite(output)
        lacks_something = inside.any() and (truth != right).any()
        if lacks_something and (np.abs(output - truth) <= bound)[inside].all():
            return name
    return "" if np.isfinite(output).all() else "float16-overflow"


def _output(layers: Sequence[Layer], X: Floats) -> Floats:
    for layer in layers:
        X = layer.forward(X)
    return X


def _gemm_graph(layers: Sequence[Layer], samples: int) -> bytes:
    nodes, constants, current = [], [], "x"
    for i, layer in enumerate(layers):
        constants += [
            numpy_helper.from_array(layer.weights.astype(np.float32), f"W{i}"),
            numpy_helper.from_array(layer.bias.astype(np.float32), f"b{i}"),
        ]
        nodes.append(helper.make_node("Gemm", [current, f"W{i}", f"b{i}"], [f"z{i}"]))
        current = f"z{i}"
        if layer.activation in _OPERATORS:
            nodes.append(helper.make_node(_OPERATORS[layer.activation], [current], [f"a{i}"]))
            current = f"a{i}"
    nodes[-1].output[0] = "y"
    shapes = [samples, len(layers[0].weights)], [samples, len(layers[-1].bias)]
    graph = helper.make_graph(
        nodes,
        "plain",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shapes[0])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shapes[1])],
        constants,
    )
    model: onnx.ModelProto = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8
    )
    return bytes(model.SerializeToString())
