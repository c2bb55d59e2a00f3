"""What a session over librknnrt.so costs in Python, over a library whose run returns at once.

General calls hand float32 over, of which the vendor's library converts every element in its own time; so does
memory bound as float32. In native memory numpy has converted. Needs gcc; run it as
``python -m benchmarks.native.call_cost``.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from scirknn.devices.native.context import NativeContext
from scirknn.devices.native.library import load_library
from scirknn.devices.native.sessions import FloatSession, GeneralSession, NativeSession

SOURCE = Path(__file__).with_name("instant_librknnrt.c")
DECLARATIONS = Path(__file__).parents[2] / "virtual_npu" / "librknnrt"
TYPES = {"float16": 1, "int8": 2, "int16": 4}
SHAPES = ((1, 64), (64, 64), (1, 784), (64, 784), (1024, 784))
KINDS = {"general": GeneralSession, "float32 bound": FloatSession, "native": NativeSession}


def microseconds(
    session: GeneralSession | FloatSession | NativeSession, rows: np.ndarray
) -> tuple[float, float]:
    """Return the 10th percentile and the median of a call."""
    taken = []
    until = time.perf_counter() + 0.5
    while len(taken) < 100 or time.perf_counter() < until:
        started = time.perf_counter()
        session.run(rows)
        taken.append(1e6 * (time.perf_counter() - started))
    low, middle = np.percentile(taken, (10, 50))
    return float(low), float(middle)


def main() -> None:
    """Print a table."""
    table = Table("rows", "channels", "precision", *KINDS, title="us a call: 10th percentile / median")
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        library, model = Path(folder, "librknnrt.so"), Path(folder, "model.rknn")
        subprocess.run(
            ["gcc", "-O2", "-shared", "-fPIC", "-I", DECLARATIONS, "-o", library, SOURCE], check=True
        )
        model.write_bytes(b"no model")
        os.environ["SCIRKNN_LIBRKNNRT"] = str(library)
        for samples, channels in SHAPES:
            rows = rng.normal(size=(samples, channels)).astype(np.float32)
            for precision, code in TYPES.items():
                os.environ.update(ROWS=str(samples), CHANNELS=str(channels), TYPE=str(code))
                cells = []
                for kind in KINDS.values():
                    session = kind(NativeContext.load(load_library(), model), samples)
                    cells.append("{:.1f} / {:.1f}".format(*microseconds(session, rows)))
                    session.close()
                table.add_row(str(samples), str(channels), precision, *cells)
    Console().print(table)
    Console().print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
