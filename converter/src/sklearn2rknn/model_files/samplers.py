"""Samplers of imbalanced-learn left out of a file's pipelines: they act in fit only."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

from sklearn2rknn.model_files.inert import Record, Workshop
from sklearn2rknn.model_files.model_names import SAMPLERS

__all__ = ["leave_out_samplers"]


def leave_out_samplers(workshop: Workshop) -> None:
    """Put "passthrough" in the place of each sampler, which a file holds as a record."""
    for instance in workshop.instances:
        steps = vars(instance).get("steps")
        if type(instance) is Pipeline and type(steps) is list:
            instance.steps = [_without_sampler(each) for each in steps]


def _without_sampler(entry: Any) -> Any:
    step = entry[1] if type(entry) is tuple and len(entry) == 2 else None
    return (entry[0], "passthrough") if type(step) is Record and step.full_name in SAMPLERS else entry
