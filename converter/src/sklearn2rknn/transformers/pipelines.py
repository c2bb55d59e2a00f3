"""Pipelines, scikit-learn's and imbalanced-learn's."""

from __future__ import annotations

import sys
from typing import Any

from sklearn.pipeline import Pipeline


def is_pipeline(estimator: Any) -> bool:
    """Whether an estimator is a Pipeline of scikit-learn or of imbalanced-learn, and no subclass."""
    # It is of imbalanced-learn only where that was imported.
    imbalanced = getattr(sys.modules.get("imblearn.pipeline"), "Pipeline", Pipeline)
    return type(estimator) in (Pipeline, imbalanced)


def pipeline_steps(pipeline: Any) -> list[tuple[str, Any]]:
    """Return the named steps that predict passes; imbalanced-learn's samplers act in fit only."""
    if type(pipeline) is Pipeline:
        return list(pipeline.steps)
    return [(name, step) for name, step in pipeline.steps if not hasattr(step, "fit_resample")]
