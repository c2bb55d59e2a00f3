"""What events on lane 0 of a real board's float16 sums explain of its answers; see docs/verdict.md."""

from __future__ import annotations

import functools

import attrs
import numpy as np

import virtual_npu
from rknn_harness.verdicts.comparisons import difference
from scirknn.arrays import Array, Floats
from scirknn.bundle import Bundle
from sklearn2rknn.network.onnx_graph import pack
from virtual_npu.evidence import FLOAT16_SUMS, FUSED_ADDITION, LOOKUP_LINES
from virtual_npu.inspection.lane_events import LaneEvents, LaneZero


@attrs.frozen
class Compared:
    """Two outputs compared bit by bit.

    Attributes
    ----------
    error : str or None
        How they differ beyond what is admitted, as a sentence.
    own : int
        Numbers that differ by an event in their own sum, to the bit.
    carried : int
        Numbers that differ within what events in earlier layers can change.
    """

    error: str | None = None
    own: int = 0
    carried: int = 0

    def __add__(self, other: Compared) -> Compared:
        """Return the first error, and both counts."""
        return Compared(self.error or other.error, self.own + other.own, self.carried + other.carried)

    @property
    def note(self) -> str:
        """What was admitted, as a sentence; empty where nothing was."""
        if not self.own + self.carried:
            return ""
        return (
            f"Lane 0: {self.own} numbers differ by an event in their own sum, to the bit, and {self.carried} "
            "within what events in earlier layers can change."
        )


class BitComparison:
    """Compares answers of a virtual board: to the bit."""

    def compare(self, X: Array, first: Array, second: Array, whose: str, *, of: float = 2) -> Compared:
        """Compare the second of two outputs for the rows of X with the first."""
        return Compared(difference(first, second, whose))


class LaneComparison:
    """Compares answers of a real board: to the bit, but for what events on lane 0 explain.

    Parameters
    ----------
    bundle : Bundle
    files : list of RknnFile
        Its model files, which compute the same in float16.

    Attributes
    ----------
    is_exact : bool
        Whether the virtual NPU follows measured rules in all sums of the files: an RK3588's, in float16,
        without lookups and without a layer's result added to another's. Its own numbers then stand for the
        board's.
    """

    def __init__(self, bundle: Bundle, files: list[virtual_npu.RknnFile]) -> None:
        self._bundle, self._file = bundle, files[0]
        try:
            rules = {rule for file in files for rule in virtual_npu.rules_followed(file)}
        except virtual_npu.UnsupportedProgram:
            rules = set()
        self._is_modelled = FLOAT16_SUMS in rules
        is_rk3588 = all(file.target_platform.startswith("rk3588") for file in files)
        self.is_exact = is_rk3588 and self._is_modelled and not rules & {LOOKUP_LINES, FUSED_ADDITION}

    @functools.cached_property
    def _lanes(self) -> LaneZero:
        return LaneZero(self._file, own_values=self.is_exact)

    def compare(self, X: Array, first: Array, second: Array, whose: str, *, of: float = 2) -> Compared:
        """Compare the second of two outputs for the rows of X with the first.

        Parameters
        ----------
        X : numpy.ndarray, shape (n, n_features)
        first, second : numpy.ndarray, shape (n, n_outputs)
            Before the output activation.
        whose : str
            Whose the first output is, for the sentence.
        of : {1, 2}
            How many of the two are a board's: each can have had events.
        """
        error = difference(first, second, whose)
        if error is None or first.shape != second.shape or not self._is_modelled:
            return Compared(error)
        one, two = (np.asarray(part, np.float32) for part in (first, second))
        places = np.argwhere(one.view(np.uint32) != two.view(np.uint32))
        events = _RowEvents(self._bundle, self._lanes, X[np.unique(places[:, 0])])
        rows = np.searchsorted(np.unique(places[:, 0]), places[:, 0])
        own = carried = 0
        explained = two.copy()
        for row, (place, column) in zip(rows, places, strict=True):
            pair = one[place, column], two[place, column]
            if events.are_own(int(row), int(column), *pair):
                own += 1
            elif abs(float(pair[0]) - float(pair[1])) <= of * events.carried[row, column]:
                carried += 1
            else:
                continue
            explained[place, column] = one[place, column]
        return Compared(difference(one, explained, whose), own, carried)


class _RowEvents:
    """What events can make of the outputs for some rows, in the bundle's units."""

    def __init__(self, bundle: Bundle, lanes: LaneZero, X: Array) -> None:
        self._bundle = bundle
        kind = X.dtype if X.dtype.kind in "fiub" else np.dtype(np.float64)
        self._dtype = np.result_type(bundle.dtype, kind)
        self._samples = lanes.input_shape[2 if bundle.form == "conv" else 0]
        rows = bundle.prepare(bundle.take(X))
        runs = pack(rows, bundle.channels, self._samples, bundle.form)
        self._runs: list[LaneEvents] = [lanes.run(run) for run in runs]
        self.carried = self._carried()[: len(X)]

    def _carried(self) -> Floats:
        carried = np.concatenate([run.carried for run in self._runs])
        count = self._bundle.n_outputs
        total = sum(carried[:, first : first + count] for first in range(0, carried.shape[1], count))
        scale = 1.0 if self._bundle.output is None else np.abs(self._bundle.output.scale)
        result: Floats = np.asarray(total, np.float64) * scale * (1 + 2.0**-20)
        return result

    def are_own(self, row: int, column: int, first: np.float32, second: np.float32) -> bool:
        """Whether two outputs are values without an event or with one in their own sum, to the bit."""
        run, point = self._runs[row // self._samples], row % self._samples
        count, bundle = self._bundle.n_outputs, self._bundle
        channels = range(column, count * bundle.output_parts, count)
        parts = [run.values(point, channel) for channel in channels]
        values: Array = parts[0]
        if len(parts) == 2:
            high = parts[0].astype(np.float64)[:, None]
            values = (parts[1] - high if bundle.high_negated else high + parts[1]).reshape(-1)
        values = values.astype(self._dtype)
        if bundle.output is not None:
            values -= bundle.output.offset[column]
            values *= bundle.output.scale[column]
        return bool(np.isin([first, second], values.astype(np.float32)).all())
