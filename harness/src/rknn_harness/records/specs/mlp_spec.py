"""The specification of a random network."""

from __future__ import annotations

from typing import Any

import attrs

ACTIVATIONS = ("identity", "relu", "tanh", "logistic")
TASKS = ("softmax", "binary", "multilabel", "regressor", "poisson")
LABELS = ("string", "int", "bool")
ODDITIES = ("", "dead units", "constant layer", "duplicated outputs")


@attrs.frozen
class MlpSpec:
    """The specification of a random network; equal specs build equal networks.

    Attributes
    ----------
    n_features : int
    hidden : tuple of int
        Widths of the hidden layers; empty is a linear model.
    activation : {"identity", "relu", "tanh", "logistic"}
    task : {"softmax", "binary", "multilabel", "regressor", "poisson"}
    n_outputs : int
        Classes of a softmax (at least 3), labels of a multilabel (at least 2), columns of a regressor.
    labels : {"string", "int", "bool"}
        Kind of a classifier's classes; bool goes with two classes only.
    weight_scale : float or None
        Weights are drawn from a normal distribution with this standard deviation over the square root of the
        fan-in; None keeps those of the short fit.
    rows : int
        Rows to predict.
    seed : int
    decades : int
        The features' scales are drawn from as many decades on each side of 1; the first layer's weights take
        them back, as those of a network do that was fitted to such features.
    oddity : {"", "dead units", "constant layer", "duplicated outputs"}
        A third of the first hidden layer's units never answers; a layer's weights are all 0; the first two
        outputs are the same.
    """

    n_features: int
    hidden: tuple[int, ...]
    activation: str
    task: str
    n_outputs: int
    labels: str
    weight_scale: float | None
    rows: int
    seed: int
    decades: int = 0
    oddity: str = ""

    def __attrs_post_init__(self) -> None:
        least = {"softmax": 3, "multilabel": 2}.get(self.task, 1)
        checks = {
            f"activation {self.activation!r}": self.activation not in ACTIVATIONS,
            f"task {self.task!r}": self.task not in TASKS,
            f"labels {self.labels!r}": self.labels not in LABELS,
            f"labels {self.labels!r} with task {self.task!r}": self.labels == "bool"
            and self.task != "binary",
            f"n_outputs {self.n_outputs} with task {self.task!r}": self.n_outputs < least
            or (self.task in ("binary", "poisson") and self.n_outputs != 1),
            f"oddity {self.oddity!r}": self.oddity not in ODDITIES,
            f"{self.decades} decades": not 0 <= self.decades <= 6,
            "a width below 1": min((self.n_features, self.rows, *self.hidden)) < 1,
        }
        wrong = [value for value, is_wrong in checks.items() if is_wrong]
        if wrong:
            raise ValueError(f"No network has {wrong[0]}.")

    @property
    def widths(self) -> tuple[int, ...]:
        """Every width from the features to the outputs."""
        return (self.n_features, *self.hidden, self.n_outputs)

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON types."""
        fields = attrs.asdict(self, filter=lambda field, value: value != field.default)
        return {**fields, "hidden": list(self.hidden)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> MlpSpec:
        """Read what `to_json` wrote."""
        return cls(**{**document, "hidden": tuple(document["hidden"])})
