"""Forests of a loaded bundle beside scikit-learn's own ``predict``: ratios of one run.

Both predict digits, the bundle by numpy alone. Each figure is the median processor time of `REPEATS` calls,
taken in turns: that of all threads together, hardly moved by what else the machine does.
Run it as ``python -m benchmarks.forests``.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_digits
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    IsolationForest,
    RandomForestClassifier,
)

import scirknn
import sklearn2rknn

REPEATS = 15
ROWS = (1, 64, 1024)
MODELS: dict[str, Any] = {
    "random forest, 20 trees of 31 leaves": RandomForestClassifier(20, max_leaf_nodes=31, random_state=0),
    "random forest, 100 trees of 31 leaves": RandomForestClassifier(100, max_leaf_nodes=31, random_state=0),
    "random forest, 100 full trees": RandomForestClassifier(100, random_state=0),
    "gradient boosting, 20 stages": GradientBoostingClassifier(n_estimators=20, random_state=0),
    "histogram boosting, 20 stages": HistGradientBoostingClassifier(max_iter=20, random_state=0),
    "isolation forest, 100 trees": IsolationForest(random_state=0),
}


def medians(calls: tuple[Callable[[], Any], ...], repeats: int = REPEATS) -> list[float]:
    """Return the median processor seconds of each call; the calls take turns."""
    times: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for taken, call in zip(times, calls, strict=True):
            start = time.process_time()
            call()
            taken.append(time.process_time() - start)
    return [statistics.median(taken) for taken in times]


def main() -> None:
    """Measure and print."""
    X, y = load_digits(return_X_y=True)
    table = Table("model", "kB", "rows", "scirknn, ms", "scikit-learn, ms", "times faster")
    with tempfile.TemporaryDirectory() as folder:
        for name, model in MODELS.items():
            model.fit(X, y)
            report = sklearn2rknn.convert(model, Path(folder, "forest.rknn"), example_input=X)
            with scirknn.load(report.path) as loaded:
                for rows in ROWS:
                    part = X[:rows]
                    ours, theirs = medians((lambda: loaded.predict(part), lambda: model.predict(part)))  # noqa: B023
                    table.add_row(
                        name if rows == ROWS[0] else "",
                        f"{sum(report.files.values()) / 1e3:.0f}" if rows == ROWS[0] else "",
                        str(rows),
                        f"{ours * 1e3:.2f}",
                        f"{theirs * 1e3:.2f}",
                        f"{theirs / ours:.1f}",
                    )
    Console().print(table)


if __name__ == "__main__":
    main()
