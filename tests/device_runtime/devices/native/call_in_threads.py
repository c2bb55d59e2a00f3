"""Predict in 8 threads over three contexts: ``call_in_threads.py BUNDLE CALLS``.

Prints, as JSON, what ran, how many answers were wrong, and by how many bytes the process grew meanwhile.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

import scirknn

path, calls = sys.argv[1], int(sys.argv[2])


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


with scirknn.load(path, device="npu", core="pool") as model:
    X = np.random.default_rng(0).normal(size=(4, 64, model.n_features_in_))
    expected = [model.raw_output(rows) for rows in X]

    def wrong_answers(count: int) -> int:
        return sum((model.raw_output(X[i % 4]) != expected[i % 4]).any() for i in range(count))

    with ThreadPoolExecutor(8) as threads:
        wrong = sum(threads.map(wrong_answers, [calls // 80] * 8))
        before = resident()
        wrong += sum(threads.map(wrong_answers, [calls // 8] * 8))
    print(json.dumps({"runtime": model.runtime.name, "wrong": int(wrong), "grown": resident() - before}))
