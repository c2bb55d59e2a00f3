"""Runs on the board: what the vendor's rknnlite does, as JSON in the last line of its output.

``ask_rknnlite.py FOLDER``: each FOLDER/NAME.rknn is run on FOLDER/NAME.npy, and then mistreated.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from rknnlite.api import RKNNLite

folder = Path(sys.argv[1])


def bits(outputs: Any) -> Any:
    return (
        None
        if outputs is None
        else [str(outputs[0].dtype), list(outputs[0].shape), outputs[0].tobytes().hex()]
    )


def opened(path: Path, **how: Any) -> tuple[Any, list[Any]]:
    lite = RKNNLite()
    return lite, [lite.load_rknn(str(path)), lite.init_runtime(**how)]


found: dict[str, Any] = {"outputs": {}, "refused": {}}
for path in sorted(folder.glob("*.npy")):
    lite, codes = opened(path.with_suffix(".rknn"))
    x = np.load(path)
    answers: dict[str, Any] = {"codes": codes}
    for dtype in ("float32", "float16", "int8", "uint8", "int64"):
        answers[dtype] = bits(lite.inference([x.astype(dtype)]))
    answers["nchw"] = bits(
        lite.inference([np.ascontiguousarray(x.transpose(0, 3, 1, 2))], data_format="nchw")
    )
    lite.release()
    for cores in ("0", "1", "2", "0_1", "0_1_2"):
        lite, codes = opened(path.with_suffix(".rknn"), core_mask=getattr(RKNNLite, "NPU_CORE_" + cores))
        answers["cores " + cores] = bits(lite.inference([x]))
        lite.release()
    found["outputs"][path.stem] = answers

good, x = folder / "float16.rknn", np.load(folder / "float16.npy")
for name in ("for an rk3576", "junk", "truncated"):
    lite, codes = opened(folder / (name + ".rknn"))
    found["refused"][name] = [*codes, bits(lite.inference([x]))]
    lite.release()

lite, _ = opened(good)
found["wrong width"] = bits(lite.inference([x[..., :5].copy()]))
found["too wide"] = bits(lite.inference([np.zeros((1, 1, 1, 4096), np.float32)]))
found["float64"] = bits(lite.inference([x.astype(np.float64)]))
found["after mistakes"] = bits(lite.inference([x]))
found["second init"] = [lite.init_runtime(), bits(lite.inference([x]))]
other, _ = opened(good)
found["a second context"] = [bits(other.inference([x])), bits(lite.inference([x]))]
other.release()
lite.release()
found["after release"] = bits(lite.inference([x]))
lite.release()
print("\n" + json.dumps(found))
