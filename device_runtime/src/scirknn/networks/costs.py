"""How long a call takes on the NPU and on the CPU: by what was measured on this board, else by estimates.

Both times are sums that are linear in what a call does; docs/which-device.md says how they were chosen.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from scirknn.arrays import Floats
from scirknn.bundle.contents import Bundle
from scirknn.errors import InputError
from scirknn.files import read_file, write_atomically
from scirknn.networks.run_plan import cover
from scirknn.text import parse_json

MOST_ROWS = 1 << 20
"""Up to which a break-even is looked for."""

_LONGEST_FILE = 1 << 14
_LONGEST = 1e3  # seconds, of any cost
_SAME = 1e-6
"""Share of the largest singular value: below it the calls do not distinguish costs."""


@dataclass(frozen=True)
class Costs:
    """Seconds that the parts of a call take on a board.

    The defaults are those of `virtual_npu.estimate` and `virtual_npu.numpy_seconds` for an RK3588, at the
    middle of their ranges; of rows and values they are [assumed].

    Attributes
    ----------
    npu_call : float
        A run, beside the time of its register program.
    npu_element : float
        A number of a run's input or output, padding rows with them.
    npu_row : float
        A row of X: the host's work before and behind the network.
    npu_program : float
        Seconds for each estimated second of a run's register program.
    cpu_call : float
        A call, beside its layers.
    cpu_layer : float
        A layer of a block of rows.
    cpu_row : float
        A row of X: the host's work as for the NPU.
    cpu_value : float
        A number that a layer gives, for a row.
    cpu_multiply_add : float
    is_measured : bool
        Whether they were measured on this board.
    """

    npu_call: float = 646e-6
    npu_element: float = 12.4e-9
    npu_row: float = 0.3e-6
    npu_program: float = 1.0
    cpu_call: float = 10e-6
    cpu_layer: float = 4e-6
    cpu_row: float = 0.3e-6
    cpu_value: float = 2e-9
    cpu_multiply_add: float = 1 / 9.6e9
    is_measured: bool = False


NPU_COSTS = ("npu_call", "npu_row", "npu_element", "npu_program")
CPU_COSTS = ("cpu_call", "cpu_layer", "cpu_row", "cpu_value", "cpu_multiply_add")

CPU_ROWS = 1024
"""Rows of a block on the CPU, whose values stay in the cache from layer to layer."""


def npu_work(bundle: Bundle, rows: int) -> Floats:
    """Return how often a call of so many rows has each of `NPU_COSTS`."""
    sizes = tuple(variant.samples for variant in bundle.variants)
    width = bundle.channels + bundle.n_outputs * bundle.output_parts
    full = max(0, rows // sizes[-1] - 1)
    runs = {sizes[-1]: full}
    for run in cover(rows - full * sizes[-1], sizes):
        runs[run.samples] = runs.get(run.samples, 0) + 1
    count = sum(runs.values())
    elements = sum(number * size * width for size, number in runs.items())
    programs = sum(number * _program_seconds(bundle, size) for size, number in runs.items())
    return np.array([count, rows, elements, programs], dtype=np.float64)


def cpu_work(widths: tuple[int, ...], rows: int) -> Floats:
    """Return how often a call of so many rows has each of `CPU_COSTS`."""
    layers = (len(widths) - 1) * -(-rows // CPU_ROWS)
    products = sum(n_in * n_out for n_in, n_out in zip(widths, widths[1:]))
    return np.array([1, layers, rows, rows * sum(widths[1:]), rows * products], dtype=np.float64)


def _program_seconds(bundle: Bundle, samples: int) -> float:
    """Return the estimated seconds of one run's register program; 0 where the bundle has none."""
    estimate = bundle.details.get("estimate")
    seconds = estimate.get(str(samples)) if isinstance(estimate, dict) else None
    if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds < _LONGEST:
        return float(seconds)
    return 0.0


class CallTimes:
    """The seconds of a bundle's calls on both devices.

    Parameters
    ----------
    bundle : Bundle
        With model files, and with weights for the CPU.
    costs : Costs
    """

    def __init__(self, bundle: Bundle, costs: Costs) -> None:
        assert bundle.cpu is not None, "the caller has compared"
        self._bundle, self._widths = bundle, bundle.cpu.widths
        self._npu = np.array([getattr(costs, name) for name in NPU_COSTS])
        self._cpu = np.array([getattr(costs, name) for name in CPU_COSTS])
        self._known: dict[int, bool] = {}

    def npu(self, rows: int) -> float:
        """Return the seconds of a call of so many rows on the NPU."""
        return float(npu_work(self._bundle, rows) @ self._npu)

    def cpu(self, rows: int) -> float:
        """Return the seconds of a call of so many rows on the CPU."""
        return float(cpu_work(self._widths, rows) @ self._cpu)

    def is_npu_faster(self, rows: int) -> bool:
        """Whether the NPU answers so many rows sooner."""
        if rows not in self._known:
            if len(self._known) > 1 << 12:
                self._known.clear()
            self._known[rows] = self.npu(rows) < self.cpu(rows)
        return self._known[rows]

    def break_even(self) -> int | None:
        """Return from about how many rows a call on the NPU is faster; None: not up to a million."""
        rows, faster = MOST_ROWS, None
        while rows and self.npu(rows) < self.cpu(rows):
            faster, rows = rows, min(rows - 1, int(rows / 1.07))
        return faster


def break_even(bundle: Bundle, costs: Costs = Costs()) -> int | None:  # frozen
    """Return from about how many rows a call on the NPU is faster than on the CPU; None: never, or no CPU."""
    is_on_both = bundle.cpu is not None and not bundle.on_host
    return CallTimes(bundle, costs).break_even() if is_on_both else None


def fit(names: tuple[str, ...], work: Floats, seconds: Floats, costs: Costs) -> Costs:
    """Return costs with those of these names fitted to times, by least squares of relative errors.

    Of costs that the calls do not distinguish, those change most that are the largest part. None becomes
    negative.

    Parameters
    ----------
    names : tuple of str
    work : numpy.ndarray of float64, shape (n, len(names))
        How often each call has each cost.
    seconds : numpy.ndarray of float64, shape (n,)
    costs : Costs
    """
    before = np.array([getattr(costs, name) for name in names])
    shares, factors = work * before / seconds[:, None], np.ones(len(names))
    is_free = np.ones(len(names), dtype=bool)
    while is_free.any():
        # Of all that fit alike, the factors nearest to 1.
        change = np.linalg.lstsq(shares[:, is_free], 1 - shares[:, is_free].sum(axis=1), rcond=_SAME)[0]
        factors[is_free] = 1 + change
        if (factors >= 0).all():
            break
        is_free[np.argmin(factors)] = False
        factors[~is_free] = 0.0
    return replace(costs, **dict(zip(names, (before * factors).tolist())))


def costs_path() -> Path:
    """Return where a user's measured costs are: below ``XDG_CONFIG_HOME``, by default ``~/.config``."""
    folder = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")
    return Path(folder) / "scirknn" / "costs.json"


def write_costs(costs: Costs) -> Path:
    """Write the costs of this board, and return where.

    Raises
    ------
    OSError
        The folder cannot be written.
    """
    path = costs_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(asdict(costs), indent=1) + "\n")
    return path


def read_costs() -> Costs:
    """Return the costs of this board: those measured, else the estimates.

    Raises
    ------
    InputError
        The file of the measured ones is damaged.
    """
    path = costs_path()
    try:
        return _costs(parse_json(read_file(path, _LONGEST_FILE)))
    except (FileNotFoundError, NotADirectoryError):
        return Costs()
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} holds no costs of a board ({str(error)[:200]}). Remove it, or measure again: "
            "scirknn bench NAME.rknn --calibrate."
        ) from None


def _costs(document: Any) -> Costs:
    names = {field.name for field in fields(Costs)}
    if not isinstance(document, dict) or set(document) != names:
        raise ValueError(f"it is {document!r:.80}")
    for name, value in document.items():
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < _LONGEST
        if is_number == (name == "is_measured") or not (is_number or isinstance(value, bool)):
            raise ValueError(f"{name} is {value!r:.60}")
    return Costs(**document)
