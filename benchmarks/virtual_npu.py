"""Time the virtual NPU against the vendor's simulator: same process, same model, one turn each.

Both run in the toolkit's process, where alone the simulator can. What is printed are times and their ratios
from this one run; they say nothing of a chip's time. Run it as ``python -m benchmarks.virtual_npu``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

WIDTHS = (784, 512, 256, 10)
SAMPLES = (1, 64)
ROOT = Path(__file__).parents[1]


def main() -> int:
    """Start the toolkit's process, or be it."""
    parser = argparse.ArgumentParser(description="Time the virtual NPU against the vendor's simulator.")
    parser.add_argument("--toolkit", default="2.3.2")
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.folder:
        _measure(options.folder, options.rounds)
        return 0
    from sklearn2rknn.toolkit.venv import ensure_environment

    python = ensure_environment(options.toolkit).path / "bin" / "python"
    with tempfile.TemporaryDirectory() as folder:
        for samples in SAMPLES:
            Path(folder, f"{samples}.onnx").write_bytes(_model(samples))
        command = [
            python,
            "-m",
            "benchmarks.virtual_npu",
            "--folder",
            folder,
            "--rounds",
            str(options.rounds),
        ]
        paths = os.pathsep.join(map(str, (ROOT, ROOT / "virtual_npu" / "src")))
        environment = {**os.environ, "PYTHONPATH": paths, "TMPDIR": folder}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        print(done.stdout if not done.returncode else done.stdout + done.stderr, end="")
        return done.returncode


def _model(samples: int) -> bytes:
    import onnx

    rng = np.random.default_rng(0)
    nodes, constants, current = [], [], "x"
    for i, (channels, kernels) in enumerate(pairwise(WIDTHS)):
        weights = rng.normal(size=(kernels, channels, 1, 1)) / np.sqrt(channels)
        for name, values in ((f"w{i}", weights), (f"b{i}", rng.normal(size=kernels))):
            constants.append(onnx.numpy_helper.from_array(values.astype(np.float32), name))
        nodes.append(
            onnx.helper.make_node("Conv", [current, f"w{i}", f"b{i}"], [f"a{i}"], kernel_shape=[1, 1])
        )
        nodes.append(onnx.helper.make_node("Relu", [f"a{i}"], [f"h{i}"]))
        current = f"h{i}"
    nodes.pop()
    nodes[-1].output[0] = "y"
    ends = [
        onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, width, samples, 1])
        for name, width in (("x", WIDTHS[0]), ("y", WIDTHS[-1]))
    ]
    graph = onnx.helper.make_graph(nodes, "chain", ends[:1], ends[1:], constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    data: bytes = model.SerializeToString()
    return data


def _measure(folder: Path, rounds: int) -> None:
    os.chdir(folder)  # the toolkit leaves files where it works
    from rknn.api import RKNN

    from virtual_npu import VirtualNpu, read

    print(
        f"{'-'.join(map(str, WIDTHS))}, float16; milliseconds: least, median of {rounds}; ratio of the least"
    )
    for samples in SAMPLES:
        rknn = RKNN(verbose=False)
        with open(os.devnull, "w", encoding="ascii") as null, contextlib.redirect_stdout(null):
            rknn.config(target_platform="rk3588")
            rknn.load_onnx(model=str(folder / f"{samples}.onnx"))
            rknn.build(do_quantization=False)
            rknn.export_rknn(str(folder / "model.rknn"))
            rknn.init_runtime()
        data = (folder / "model.rknn").read_bytes()
        x = np.random.default_rng(1).normal(size=(1, WIDTHS[0], samples, 1)).astype(np.float32)
        contenders: dict[str, Callable[[], Any]] = {
            "simulator": lambda rknn=rknn, x=x: rknn.inference(inputs=[x], data_format=["nchw"])
        }
        for rule in ("silicon", "fast"):
            npu = VirtualNpu(read(data), arithmetic=rule)
            contenders[rule] = lambda npu=npu, x=x: npu.run(x)
        times = _times(contenders, rounds)
        times |= _times({"loading": lambda data=data: VirtualNpu(read(data))}, rounds)
        for name, taken in times.items():
            least, median = min(taken), statistics.median(taken)
            ratio = "" if name == "loading" else f"{least / min(times['simulator']):8.2f}"
            print(f"N = {samples:3}  {name:12} {least:8.3f} {median:8.3f} {ratio}")
        rknn.release()


def _times(contenders: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Return milliseconds of each call, taken in turns."""
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            started = time.perf_counter()
            run()
            times[name].append(1e3 * (time.perf_counter() - started))
    return times


if __name__ == "__main__":
    sys.exit(main())
