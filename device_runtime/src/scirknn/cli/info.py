"""``scirknn info``: what a model takes and answers, how right it is, and where it is fast."""

from __future__ import annotations

import argparse
import json
import math
import re
from typing import Any

from scirknn.bundle.contents import Bundle
from scirknn.bundle.files import read_bundle
from scirknn.cli.bench import break_even_text, estimate_texts
from scirknn.estimators.range_watch import input_names
from scirknn.networks.costs import read_costs
from scirknn.text import count_of, printable

INFO = """\
examples:
  python3 -m scirknn info iris.rknn              what one asks first
  python3 -m scirknn info iris.rknn --verbose    ranges, every stage of the check, the toolkit's options too
"""

_MANY = 20
"""How many values of a list are shown."""

_BRIEF = (
    *("model", "task", "features", "classes", "methods", "right", "estimate", "cpu", "precision"),
    *("rows of a run", "head", "host before", "host behind", "columns", "placement", "needs", "made", "size"),
)
"""What is shown without ``--verbose``, in this order."""

_STAGES = ("virtual_npu", "simulator", "host")
"""Of the converter's check, the deciding one first."""


def info(options: argparse.Namespace) -> int:
    """Carry out the command."""
    facts = _facts(read_bundle(options.model))
    if options.json:
        print(json.dumps(facts, indent=1, default=str))
        return 0
    if "estimate" in facts:
        facts["estimate"] = estimate_texts(facts["estimate"])
    if not options.verbose:
        facts = _brief(facts)
    width = max(map(len, facts))
    for name, value in facts.items():
        for i, line in enumerate(_lines(value)):
            print(printable(f"{'' if i else name:{width}}  {line}"))
    return 0


def _brief(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what one asks first; what the converter recorded may be of any type."""
    toolkit, source, check = (
        facts[name] if isinstance(facts.get(name), dict) else {} for name in ("toolkit", "source", "check")
    )
    oldest = toolkit.get("oldest_runtime")
    made = {
        "by": source.get("created_by"),
        "with toolkit": toolkit.get("version"),
        "for": toolkit.get("target_platform"),
        "from scikit-learn": source.get("sklearn"),
    }
    texts = {
        "right": _right(check, facts["outputs"] if facts["task"].startswith("multilabel") else 0),
        "needs": f"librknnrt {oldest} or newer" if oldest else "",
        "made": ", ".join(f"{how} {what}" for how, what in made.items() if what),
        "size": f"{facts['bytes'] / 1000:.0f} kB",
    }
    every = {**facts, **texts}
    return {name: every[name] for name in _BRIEF if name in facts or every.get(name)}


def _right(check: dict[str, Any], labels_of_a_row: int) -> str:
    """Say how the file's answers compared with scikit-learn's; empty where nothing was recorded."""
    rows = check.get("held_out")
    if not isinstance(rows, int) or not 0 < rows < 1 << 31:
        return "unknown: not checked on held-out rows" * bool(check)
    stages = [check[name] for name in _STAGES if isinstance(check.get(name), dict)]
    stage: dict[str, Any] = next((each for each in stages if "unavailable" not in each), {})
    labels, off, r2 = (_finite(stage.get(name)) for name in ("labels", "max_probability_error", "r2"))
    if r2 is not None:
        return f"R2 {r2:.6f} against scikit-learn on {rows} held-out rows"
    parts = []
    if labels is not None and 0 <= labels <= 1:
        count, noun = rows, "held-out rows have scikit-learn's label"
        if labels_of_a_row:
            count, noun = rows * labels_of_a_row, f"labels of {rows} held-out rows have scikit-learn's value"
        parts.append(f"{round(labels * count)} of {count} {noun}")
    if off is not None:
        parts.append(f"probabilities within {off:.2g}")
    return ", ".join(parts)


def _finite(value: Any) -> float | None:
    return value if isinstance(value, float) and math.isfinite(value) else None


def _lines(value: Any) -> list[str]:
    """Format a value for a person: a list as one line, a mapping as several."""
    if isinstance(value, dict):
        return [f"{key} {', '.join(_lines(part))}" for key, part in value.items() if part not in ("", [], {})]
    if isinstance(value, list) and value and isinstance(value[0], (dict, list)):
        return [", ".join(_lines(item)) for item in value]
    if isinstance(value, list):
        rest = f", ... ({len(value)})" if len(value) > _MANY else ""
        return [", ".join(line for item in value[:_MANY] for line in _lines(item)) + rest]
    if isinstance(value, float):
        return [f"{value:.4g}"]
    if isinstance(value, str) and re.match("[0-9a-f]{64}$", value):
        return [value[:12]]  # --json has all of it
    return ["not known" if value is None else str(value)]


def _facts(bundle: Bundle) -> dict[str, Any]:
    names = bundle.feature_names
    where = bundle.details.get("placement")
    facts: dict[str, Any] = {
        "model": str(bundle.path),
        "task": f"{bundle.task}, from {bundle.estimator}",
        "features": bundle.n_features_in if names is None else list(names),
        "classes": None if bundle.classes is None else bundle.classes.tolist(),
        "outputs": bundle.n_outputs,
        "head": f"{bundle.head}, on the {'NPU' if bundle.head_on_npu else 'host'}",
        "host before": [each.kind for each in bundle.features] or None,
        "host behind": [each.kind for each in bundle.epilogue] or None,
        "methods": None if bundle.responses is None else [*bundle.responses],
        "score": bundle.score,
        "precision": bundle.precision,
        "rows of a run": [variant.samples for variant in bundle.variants],
        "files": [variant.file for variant in bundle.variants],
        "bytes": sum(file.stat().st_size for _, file in bundle.files()),
        "columns": None
        if bundle.columns is None
        else f"{len(bundle.columns.inputs)} inputs, made on the host",
        "input range": _ranges(bundle),
        "cpu": None if bundle.cpu is None else break_even_text(bundle, read_costs()),
        "placement": None if not isinstance(where, dict) else _counts(where.get("layers")),
    }
    facts.update((name, value) for name, value in bundle.details.items() if name not in facts)
    return {name: value for name, value in facts.items() if value is not None}


def _ranges(bundle: Bundle) -> list[str] | None:
    limits = bundle.input_range
    if limits is None:
        return None
    return [
        f"{name} {low:.6g} to {high:.6g}"
        for name, low, high in zip(input_names(bundle), limits.low.tolist(), limits.high.tolist())
    ]


def _counts(layers: Any) -> str | None:
    if not isinstance(layers, list) or not all(
        isinstance(layer, list) and len(layer) == 3 for layer in layers
    ):
        return None
    places = [layer[2] for layer in layers]
    kinds = sorted(set(places), reverse=True)
    return ", ".join(f"{count_of(places.count(place), 'layer')} on the {place}" for place in kinds)
