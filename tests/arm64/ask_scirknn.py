"""Runs on the board: what scirknn makes of the vendor's rknnlite, as JSON in the last line of its output.

``ask_scirknn.py FOLDER``, with scirknn on the path: FOLDER/good.rknn is a bundle, FOLDER/X.npy rows for it,
and every other bundle there is one that the vendor's runtime refuses.
"""

from __future__ import annotations

import json
import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import scirknn

folder = Path(sys.argv[1])
X = np.load(folder / "X.npy")
before = dict(logging._levelToName), list(logging.getLogger().handlers), logging.getLogger().level


def refused(path: Path) -> Any:
    try:
        with scirknn.load(path, device="npu") as model:
            model.raw_output(X[:, : model.n_features_in_])
    except scirknn.CompatibilityError as error:
        return list(error.rules)
    except scirknn.NativeError as error:
        return [error.call, error.code, error.name]
    return None


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


found: dict[str, Any] = {"refused": {}, "cores": {}}
for core in ("auto", "0", "1", "2", "0_1_2", "pool"):
    with scirknn.load(folder / "good.rknn", device="npu", core=core) as model:
        found["cores"][core] = model.raw_output(X).astype("<f4").tobytes().hex()
for metadata in sorted(folder.glob("*.rknn.json")):
    path = metadata.with_suffix("")
    if path.name != "good.rknn":
        found["refused"][path.stem] = refused(path)
with scirknn.load(folder / "good.rknn", device="npu", core="pool") as model:
    expected = model.raw_output(X)
    with ThreadPoolExecutor(8) as threads:

        def right(number: int) -> bool:
            row = number % len(X)
            return bool((model.raw_output(X[row : row + 1]) == expected[row]).all())

        warm = all(threads.map(right, range(40)))
        start = resident()
        found["threads"] = warm and all(threads.map(right, range(200)))
        found["grown"] = resident() - start
found["logging kept"] = before == (
    logging._levelToName,
    logging.getLogger().handlers,
    logging.getLogger().level,
)
print("\n" + json.dumps(found))
