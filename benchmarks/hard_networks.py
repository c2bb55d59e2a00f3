"""What twelve hard networks keep on 200 rows that their conversion did not see.

``python -m benchmarks.hard_networks [PRECISION]`` prints a table; test_hard_networks.py asserts what it
shows.
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from tests.converter.hard_networks import HARD, HardNetwork

import scirknn
import sklearn2rknn

TIE = 0.005


def measured(name: str, network: HardNetwork, precision: str) -> tuple[str, ...]:
    """Return a row of the table."""
    truth = network.estimator
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hard.rknn"
        try:
            report = sklearn2rknn.convert(truth, path, precision=precision, example_input=network.example)
            numbers, refused = report.accuracy, ""
        except sklearn2rknn.Sklearn2RknnError as error:
            numbers, refused = "", str(error).splitlines()[0]
            try:
                report = sklearn2rknn.convert(
                    truth,
                    path,
                    precision=precision,
                    example_input=network.example,
                    options=sklearn2rknn.ConversionOptions(check="warn"),
                )
            except sklearn2rknn.Sklearn2RknnError:
                return name, "refused", refused
        with scirknn.load(path, device="virtual") as model:
            found = model.predict(network.unseen)
            if not hasattr(truth, "classes_"):
                expected = truth.predict(network.unseen)
                spread = ((expected - expected.mean(axis=0)) ** 2).sum(axis=0)
                r2 = np.min(1 - ((found - expected) ** 2).sum(axis=0) / spread)
                return name, numbers, f"R2 {r2:.6f}", refused
            expected = truth.predict_proba(network.unseen)
            error = np.abs(model.predict_proba(network.unseen) - expected).max()
    top = np.sort(expected, axis=1)
    clear = top[:, -1] - top[:, -2] > TIE
    wrong = int((found != truth.predict(network.unseen))[clear].sum())
    return name, numbers, f"{error:.1e}", f"{wrong} of {clear.sum()}", refused


def main() -> None:
    """Print a line for each network."""
    precision = sys.argv[1] if len(sys.argv) > 1 else "float16"
    print("| network | numbers a value | probability off by, or R2 | labels wrong away from ties | refused |")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, make in HARD.items():
            print("|", " | ".join(measured(name, make(), precision)), "|", flush=True)


if __name__ == "__main__":
    main()
