"""What a run's records say, as plain JSON: fields of a line and conditions on it, for `page_audit`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

RIGHT, REFUSED, UNTRIED = "right", "refused", "not tried"
PLAIN = ("attempts", "macs", "weights")
STAGES = ("sklearn", "onnx", "simulator", "virtual_npu", "board")


def last(line: dict[str, Any]) -> dict[str, Any] | None:
    spoke = [line["metrics"][stage] for stage in STAGES if stage in line["metrics"]]
    return spoke[-1] if spoke else None


def tolerance(metrics: dict[str, Any]) -> float | None:
    """Return the largest share of a chosen tolerance."""
    limits = metrics.get("limits") or {}
    shares = []
    if limits.get("probability") and metrics["probability_error"] is not None:
        shares.append(metrics["probability_error"] / limits["probability"])
    if limits.get("r2") is not None and limits["r2"] < 1 and metrics["r2"] is not None:
        shares.append((1 - metrics["r2"]) / (1 - limits["r2"]))
    return max(shares, default=None)


def allowed(metrics: dict[str, Any]) -> float | None:
    """Return the larger share of derived bound and tolerance."""
    shares = [metrics["output_share"], tolerance(metrics)]
    return max((share for share in shares if share is not None), default=None)


def relative(metrics: dict[str, Any]) -> float | None:
    error, size = metrics["output_error"], metrics["output_size"]
    return None if error is None else error / (size or 1.0)


METRICS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "error": relative,
    "output": lambda metrics: metrics["output_error"],
    "share": lambda metrics: metrics["output_share"],
    "tolerance": tolerance,
    "allowed": allowed,
    "judged": lambda metrics: metrics["rows"],
    "agreement": lambda metrics: metrics["agreement"],
    "r2": lambda metrics: metrics["r2"],
    "probability_error": lambda metrics: metrics["probability_error"],
}


def family(line: dict[str, Any]) -> str:
    """Return a model's name, or the task of a random network."""
    spec = line["spec"]
    name: str = spec.get("name") or spec.get("family") or f"{line['kind']} {spec['task']}"
    return name


def kind_of(line: dict[str, Any]) -> str:
    """Return how a line counts."""
    failed = any(line["properties"].values()) or line["outcome"] not in (
        "pass",
        "unsupported",
        "infra_error",
    )
    if line["outcome"] == "infra_error":
        return UNTRIED
    if failed:
        return "known" if line["expected"] else "wrong"
    if line["expected"]:
        return "wrong"
    return REFUSED if line["outcome"] == "unsupported" else RIGHT


def field(line: dict[str, Any], name: str) -> float | None:
    """Return one number of a line."""
    head, _, rest = name.partition(".")
    latency = line["latency"] or {}
    if head in METRICS:
        metrics = line["metrics"].get(rest) if rest else last(line)
        return None if metrics is None else METRICS[head](metrics)
    if head in ("limit", "bound"):
        limits = (last(line) or {}).get("limits") or {}
        ends = limits.get("output")
        if head == "limit":
            limit: float | None = limits.get(rest)
            return limit
        return None if ends is None else float(ends[rest == "high"])
    if head == "work":
        return line["macs"] * latency["rows"] if latency and line["macs"] else None
    if head == "estimate":
        return None if line["estimate"] is None else float(line["estimate"][rest == "high"])
    if head == "gain":
        there, here = line["cpu"].get(rest, {}).get("p50"), latency.get("p50")
        return there / here if there is not None and here else None
    if head == "score":
        score: float | None = line["score"][rest]
        return score
    if head == "rules":
        count: float | None = line["rules"].get(rest)
        return count
    if head in ("NPU", "CPU"):
        return [layer[2] for layer in line["placement"]].count(head)
    if head == "seconds" and rest:
        taken: float | None = line["seconds"].get(rest)
        return taken
    if head == "seconds":
        return float(np.sum(list(line["seconds"].values())))
    names = {"samples": "count"}
    value: float | None = line[name] if name in PLAIN else latency.get(names.get(name, name))
    return value


def condition(line: dict[str, Any], key: str) -> str:
    """Return what a line has for a condition of a question."""
    head, _, rest = key.partition(".")
    failed = sorted(name for name, error in line["properties"].items() if error)
    ended = line["outcome"] not in ("pass", "unsupported", "infra_error")
    work = field(line, "work")
    if head == "property":
        error = line["properties"].get(rest)
        if rest == "digest_reproducible" and line["digests"] and not line["second_build"]:
            return "not run"
        return "not examined" if error is None else "failed" if error else "held"
    return {
        "family": family(line),
        "kind": kind_of(line),
        "judged": "no" if kind_of(line) in (REFUSED, UNTRIED) else "yes",
        "failed": " ".join(failed),
        "ok": "no" if ended or failed else "yes",
        "expected": "yes" if line["expected"] else "no",
        "compared": "yes" if line["metrics"] else "no",
        "retried": "yes" if line["attempts"] > 1 else "no",
        "timed": "yes" if work and field(line, "p50") else "no",
        "decade": str(math.floor(math.log10(work))) if work else "",
        "bin": str(math.floor(3 * math.log10(work))) if work else "",
    }.get(key) or str(line.get(key) or "")
