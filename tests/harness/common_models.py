"""Common models for comparing environments and versions: each task, activation and kind of width."""

from __future__ import annotations

from rknn_harness.records.specs.mlp_spec import MlpSpec

__all__ = ["common_models"]

_HIDDEN = ((), (8,), (16,), (33,), (64, 32), (5, 7, 3), (128,), (100, 100), (1,), (31, 17))
_FEATURES = (1, 3, 4, 7, 8, 13, 30, 64, 100, 17)
_ACTIVATIONS = ("relu", "tanh", "logistic", "identity")
_TASKS = (
    ("softmax", 3),
    ("binary", 1),
    ("regressor", 2),
    ("multilabel", 4),
    ("softmax", 10),
    ("regressor", 1),
)


def common_models(count: int) -> list[MlpSpec]:
    """Return the first `count` models of a fixed list; the lists of parameters turn at different rates."""
    found = []
    for index in range(count):
        task, outputs = _TASKS[index % len(_TASKS)]
        found.append(
            MlpSpec(
                n_features=_FEATURES[index * 3 % len(_FEATURES)],
                hidden=_HIDDEN[index % len(_HIDDEN)],
                activation=_ACTIVATIONS[index // 2 % len(_ACTIVATIONS)],
                task=task,
                n_outputs=outputs,
                labels="int",
                weight_scale=1.0,
                rows=40,
                seed=index,
            )
        )
    return found
