"""What a call of N rows costs, by the register program: the table of converter/README.md.

Tasks are counted in the file; seconds are `virtual_npu.estimate`'s. Run it as
``python -m benchmarks.batch_sizes``.
"""

from __future__ import annotations

import itertools

import attrs
import numpy as np
from rich.console import Console
from rich.table import Table

import virtual_npu
from sklearn2rknn import Toolkit, onnx_from_network, open_toolkit
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.passes.refined_tanh import refine

SAMPLES = (1, 2, 4, 16, 64, 128, 256, 512, 1024, 2047)
WIDTHS = ((4, 16, 3), (64, 128, 128, 10), (784, 512, 256, 10))


def network(widths: tuple[int, ...], activation: str) -> Network:
    """Return a network of random weights."""
    rng = np.random.default_rng(0)
    pairs = list(itertools.pairwise(widths))
    return Network(
        estimator="MLPClassifier",
        task="classifier",
        head="softmax",
        layers=tuple(
            Layer(
                rng.standard_normal(pair) / np.sqrt(pair[0]),
                rng.standard_normal(pair[1]),
                activation if pair is not pairs[-1] else "identity",
            )
            for pair in pairs
        ),
        classes=np.arange(widths[-1]),
        feature_names=None,
        single_output=False,
        dtype="float64",
    )


def cells(toolkit: Toolkit, model: Network, samples: int) -> list[str]:
    """Return tasks, microseconds a call (low and high) and a row, and the file's kilobytes."""
    graph = onnx_from_network(model, samples).SerializeToString()
    data = toolkit.build(graph, config={"target_platform": "rk3588"}).rknn
    file = virtual_npu.read(data)
    tasks = len(file.tasks(1)[0])
    low, high = (1e6 * seconds for seconds in virtual_npu.estimate(file).seconds)
    middle = np.sqrt(low * high)
    return [str(tasks), f"{low:.0f} to {high:.0f}", f"{middle / samples:.2f}", f"{len(data) / 1000:.0f}"]


def main() -> None:
    """Measure and print."""
    with open_toolkit("2.3.2") as toolkit:
        for widths in WIDTHS:
            for activation in ("relu", "tanh"):
                model = network(widths, activation)
                if activation == "tanh":
                    model = refine(attrs.evolve(model))
                table = Table("N", "tasks", "us a call", "us a row", "kB", title=f"{widths} {activation}")
                for samples in SAMPLES[activation == "tanh" :]:
                    table.add_row(str(samples), *cells(toolkit, model, samples))
                Console(width=110).print(table)


if __name__ == "__main__":
    main()
