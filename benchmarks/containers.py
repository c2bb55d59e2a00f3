"""Measure the toolkit's container against its virtual environment: size, building, and warm conversions.

The two convert in turn, so that whatever else the machine does meets both. Needs an engine (DOCKER_HOST) with
a base image; run it as ``python -m benchmarks.containers``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable

from rknn_harness.models.random_mlp import build_estimator, build_rows
from rknn_harness.records.specs.mlp_spec import MlpSpec
from sklearn2rknn import Toolkit, open_toolkit
from sklearn2rknn.estimators.network_from_estimator import network_from_estimator
from sklearn2rknn.network.onnx_graph import input_channels, onnx_from_network, pack
from sklearn2rknn.passes.prepare_network import prepare_network
from sklearn2rknn.toolkit.containers.image import build_image, find_image, remove_image
from sklearn2rknn.toolkit.pins.versions import toolkit_version

Job = Callable[[Toolkit], None]
SPEC = MlpSpec(64, (128, 128), "relu", "softmax", 10, "int", 1.0, 64, 0)


def main() -> None:
    """Print the figures of one run."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--toolkit", default="2.3.2")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument(
        "--build", action="store_true", help="Remove the image and build it, without an index."
    )
    options = parser.parse_args()
    version = options.toolkit
    if options.build:
        build_image(version)  # now the cache has every wheel
        remove_image(version)
        os.environ["PIP_NO_INDEX"] = "1"
        started = time.monotonic()
        build_image(version)
        print(f"build of {version}, no index and no network: {time.monotonic() - started:.1f} s")
    print(f"image of {version}: {find_image(version).size / 1e6:.0f} MB")
    with open_toolkit(f"{version}@venv") as venv, open_toolkit(f"{version}@container") as container:
        job = prepare("float16")
        for toolkit in (venv, container):
            started = time.monotonic()
            job(toolkit)
            print(f"first conversion, {toolkit.environment.kind}: {time.monotonic() - started:.2f} s")
        for precision in ("float16", "int8"):
            job = prepare(precision)
            times: dict[str, list[float]] = {"venv": [], "container": []}
            for _ in range(options.rounds):
                for toolkit in (venv, container):
                    started = time.monotonic()
                    job(toolkit)
                    times[toolkit.environment.kind].append(time.monotonic() - started)
            medians = {kind: statistics.median(values) for kind, values in times.items()}
            print(
                f"warm conversion, {precision}: venv {1e3 * medians['venv']:.0f} ms, container "
                f"{1e3 * medians['container']:.0f} ms, ratio {medians['container'] / medians['venv']:.2f} "
                f"(medians of {options.rounds})"
            )


def prepare(precision: str) -> Job:
    """Return what a conversion of the benchmark's network hands to the toolkit."""
    rows = build_rows(SPEC)
    network = prepare_network(network_from_estimator(build_estimator(SPEC)), rows, precision)
    graph = onnx_from_network(network, 1).SerializeToString()
    calibration = None if precision == "float16" else pack(network.prepare(rows), input_channels(network), 1)

    def job(toolkit: Toolkit) -> None:
        config = {"target_platform": "rk3588", **toolkit_version(toolkit.version).config[precision]}
        toolkit.build(graph, config=config, calibration=calibration)

    return job


if __name__ == "__main__":
    main()
