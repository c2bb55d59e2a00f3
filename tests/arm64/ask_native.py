"""Runs on the board: every bundle of FOLDER by each RUNTIME, as JSON in the last line of its output.

``ask_native.py FOLDER RUNTIME...``, with scirknn on the path; FOLDER/X.npy has rows.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import scirknn

folder, runtimes = Path(sys.argv[1]), sys.argv[2:]
X = np.load(folder / "X.npy")
answers: dict[str, dict[str, list[str]]] = {}
for metadata in sorted(folder.glob("*.rknn.json")):
    path = metadata.with_suffix("")
    for runtime in runtimes:
        with scirknn.load(path, device="npu", runtime=runtime) as model:
            bits = model.raw_output(X).astype("<f8").tobytes().hex()
            answers.setdefault(path.stem, {})[runtime] = [model.runtime.name, bits]
print("\n" + json.dumps(answers))
