"""The specification of a model of one of the families beside perceptrons."""

from __future__ import annotations

from typing import Any

import attrs

DATA = ("drawn", "wine", "digits", "breast_cancer", "diabetes")
ODDITIES = ("", "constant column", "twin columns", "far from 0")


@attrs.frozen
class FamilySpec:
    """The specification of a model; equal specs build equal models.

    Attributes
    ----------
    family : str
        A module of `rknn_harness.models.families`.
    kind : str
        The name of one of its kinds.
    parameters : tuple of (str, object)
        Of the estimator, sorted by name; JSON types.
    data : {"drawn", "wine", "digits", "breast_cancer", "diabetes"}
        Rows of clusters, or those of scikit-learn's data set, half of which are fitted.
    n_features, n_classes, fitted_rows, rows : int
        Of drawn data: columns, clusters (which are the classes of a classifier), rows to fit and to predict.
    labels : {"int", "string"}
    decades : int
        Columns are multiplied by powers of ten, up to this one.
    target_decades : int
        Of drawn numbers to predict: their power of ten.
    oddity : {"", "constant column", "twin columns", "far from 0"}
        A column that does not vary; the first two are the same; each third lies 20 of its units from 0.
    seed : int
    """

    family: str
    kind: str
    parameters: tuple[tuple[str, Any], ...] = ()
    data: str = "drawn"
    n_features: int = 8
    n_classes: int = 3
    fitted_rows: int = 120
    rows: int = 64
    labels: str = "int"
    decades: int = 0
    target_decades: int = 0
    oddity: str = ""
    seed: int = 0

    def __attrs_post_init__(self) -> None:
        checks = {
            f"data {self.data!r}": self.data not in DATA,
            f"labels {self.labels!r}": self.labels not in ("int", "string"),
            f"oddity {self.oddity!r}": self.oddity not in ODDITIES,
            f"{self.decades} decades": not 0 <= self.decades <= 6,
            f"{self.target_decades} decades of its target": not -6 <= self.target_decades <= 6,
            f"{self.n_classes} classes": self.n_classes < 2,
            "no columns or rows": min(self.n_features, self.fitted_rows, self.rows) < 1,
        }
        wrong = [value for value, is_wrong in checks.items() if is_wrong]
        if wrong:
            raise ValueError(f"No model has {wrong[0]}.")

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON types."""
        fields = attrs.asdict(self, filter=lambda field, value: value != field.default, recurse=False)
        return {**fields, "parameters": dict(self.parameters)}

    @classmethod
    def from_json(cls, document: dict[str, Any]) -> FamilySpec:
        """Read what `to_json` wrote."""
        return cls(**{**document, "parameters": tuple(sorted(document["parameters"].items()))})
