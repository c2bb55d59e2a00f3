"""Bundles made by hand, for model files that are small, empty or fake."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scirknn.bundle import Bundle, Variant


def regressor_bundle(
    path: Path, columns: int, n_outputs: int, variants: tuple[Variant, ...], **fields: Any
) -> Bundle:
    """A float16 regressor's bundle of plain columns; `fields` replace or add others of a Bundle's."""
    default: dict[str, Any] = dict(
        path=path,
        task="regressor",
        estimator="MLPRegressor",
        classes=None,
        n_features_in=columns,
        n_outputs=n_outputs,
        feature_names=None,
        single_output=False,
        dtype="float64",
        head="identity",
        channels=columns,
        input=None,
        output=None,
        precision="float16",
        variants=variants,
        details={},
    )
    return Bundle(**{**default, **fields})
