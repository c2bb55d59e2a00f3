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

    def is_right(number: int) -> bool:
        return bool((model.raw_output(X[number % 4]) == expected[number % 4]).all())

    with ThreadPoolExecutor(8) as threads:
        wrong = calls // 10 - sum(threads.map(is_right, range(calls // 10)))
        before = resident()
        wrong += calls - sum(threads.map(is_right, range(calls)))
    print(json.dumps({"runtime": model.runtime.name, "wrong": wrong, "grown": resident() - before}))
