"""Build a model file for each batch size, and again where a check calls for it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import chain

import attrs
import numpy as np
import numpy.typing as npt

import virtual_npu
from scirknn.arrays import Floats
from sklearn2rknn.checking.built_file import BuiltFile, inspect_file, parse_file
from sklearn2rknn.checking.built_file_check import Expected, GraphRuns, expect, run_check
from sklearn2rknn.checking.check_result import CheckResult
from sklearn2rknn.errors import (
    ConversionError,
    ExampleInputError,
    RangeError,
    Sklearn2RknnError,
)
from sklearn2rknn.network.layer import MIN_REFINED_BATCH_SIZE, REFINED
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.onnx_graph import input_channels, onnx_from_network, pack
from sklearn2rknn.network.precision import Precision
from sklearn2rknn.network.tensor_ranges import ranges_document
from sklearn2rknn.options import ConversionOptions, ConversionRequest
from sklearn2rknn.passes.float16_pairs import ADDED_OUTPUTS, can_pair_outputs
from sklearn2rknn.passes.prepare_network import count_weights, prepare_network
from sklearn2rknn.passes.range_checks import FLOAT16_MAX
from sklearn2rknn.progress import stage
from sklearn2rknn.rows.calibration_rows import calibration_rows
from sklearn2rknn.rows.check_rows import ROW_LIMIT, CheckInput, choose_rows
from sklearn2rknn.rows.held_out import hold_out
from sklearn2rknn.rows.reach import LESS_REACH, REACH
from sklearn2rknn.tolerances import FEWEST_ROWS, MAX_WEIGHTS_FOR_PAIRS, Promise, promises
from sklearn2rknn.toolkit.building import Building, Built
from sklearn2rknn.toolkit.toolkit import Toolkit
from virtual_npu import RknnFile

TOO_LARGE = re.compile(r"The 'min/max' of '(.*)' is too large for 'w16a16i_dfp'")
"""What the toolkit says of numbers that its int16 cannot hold, and of which tensor."""


@attrs.frozen(eq=False)
class Attempt:
    """The files built for one precision, by batch size."""

    request: ConversionRequest
    files: Mapping[int, BuiltFile]
    promises: tuple[Promise, ...]

    @property
    def promise(self) -> Promise:
        """The best that every file keeps; the least where there is none."""
        kept = (each for each in self.promises if not any(self._failed_limits(each)))
        return next(kept, self.promises[-1])

    @property
    def failed_limit(self) -> str:
        """Where the promise is not kept; an empty text where it is."""
        return next(filter(None, self._failed_limits(self.promise)), "")

    def _failed_limits(self, promise: Promise) -> list[str]:
        required = self.request.options.require(promise)
        return [file.check.failed_limit(required) for file in self.files.values()]

    @property
    def first_file(self) -> BuiltFile:
        """That of the first batch size."""
        return self.files[self.request.batch_sizes[0]]

    @property
    def check(self) -> CheckResult:
        """The first file's, or that of one which fails a limit."""
        checks = [file.check for file in self.files.values()]
        failed = self._failed_limits(self.promise)
        return next((check for check, text in zip(checks, failed, strict=True) if text), checks[0])

    def full_cubes(self) -> tuple[str, ...]:
        """Return the layers that fill a field of the DPU's cube, of any file."""
        return tuple(dict.fromkeys(chain.from_iterable(file.full_cubes for file in self.files.values())))

    def estimate_run(self) -> tuple[float, float] | None:
        """Return the estimated seconds of a call with the first file, or None."""
        content = self.first_file.content
        if isinstance(content, str) or not self.request.target_platform.startswith("rk3588"):
            return None
        return virtual_npu.estimate(content).seconds

    def estimate_programs(self) -> dict[str, float]:
        """Return the estimated seconds of each file's register program, by its batch size, where known."""
        if not self.request.target_platform.startswith("rk3588"):
            return {}
        programs = {size: file.content for size, file in self.files.items()}
        return {
            str(size): float(f"{virtual_npu.estimate(content).parts.npu:.3g}")
            for size, content in programs.items()
            if not isinstance(content, str)
        }


@attrs.frozen(eq=False)
class _Order:
    """What the toolkit is given for one batch size, and the rows of the check, where there is one."""

    model: bytes
    calibration: npt.NDArray[np.float32] | None
    checked: CheckInput | None
    simulate: npt.NDArray[np.float32] | None

    def compared(self, expectations: _Expectations) -> _Compared | None:
        """Return what the file is to be compared with, where there is a check."""
        if self.checked is None or self.simulate is None:
            return None
        expected = expectations.of(self.checked)
        return expected, GraphRuns.of(self.model, self.simulate, expected)


_Compared = tuple[Expected, GraphRuns]


class _Expectations:
    """What the files of one network are compared with, computed once for those that have the same rows."""

    def __init__(self, source: Network, network: Network, *, is_float16: bool) -> None:
        self._source, self._network, self._is_float16 = source, network, is_float16
        self._found: list[Expected] = []

    def of(self, checked: CheckInput) -> Expected:
        for each in self._found:
            if np.array_equal(each.checked.rows, checked.rows):
                return each
        self._found.append(expect(self._source, self._network, checked, is_float16=self._is_float16))
        return self._found[-1]


@attrs.frozen(eq=False)
class Job:
    """A network to be converted, from which other precisions can be tried too.

    Attributes
    ----------
    source : Network
        Without host steps.
    request : ConversionRequest
    rows : numpy.ndarray or None
        Example input that the file is built from.
    own : numpy.ndarray or None
        Rows that it is not built from, and `own_source`, where they are from.
    beside : callable
        Called while the toolkit builds; an error of it ends the conversion.
    """

    source: Network
    request: ConversionRequest
    rows: Floats | None
    own: Floats | None = None
    own_source: str = "held_out"
    beside: Callable[[], object] = lambda: None

    @property
    def promises(self) -> tuple[Promise, ...]:
        """What can be promised, the best first."""
        return promises(self.request.precision, [layer.activation for layer in self.source.layers])

    @property
    def options(self) -> ConversionOptions:
        """The request's, in the form of output pairs that toolkit and chip place."""
        request = self.request
        is_placed = request.toolkit.version in ADDED_OUTPUTS and request.target_platform == "rk3588"
        return request.options if is_placed else replace(request.options, output_pairs="repeated")

    @property
    def multiplications(self) -> int:
        """How many it takes to run the rows, or as many as a check does."""
        rows = ROW_LIMIT if self.rows is None else max(ROW_LIMIT, len(self.rows))
        return rows * count_weights(self.source)

    def network(self, reach: float = REACH) -> Network:
        """Return the prepared network; `reach` is int16's room beyond the example.

        Raises
        ------
        ExampleInputError, OptionError, RangeError
            It is not possible in this precision.
        """
        request = self.request
        if self.rows is None and not request.is_float16:
            raise ExampleInputError(
                f"{request.precision} needs example_input, from which the ranges are taken: "
                "give some hundred rows of X, as example_input=X_train[:200] or --example-input X.npy."
            )
        return prepare_network(self.source, self.rows, request.precision, self.options, reach)

    def can_be_paired(self, network: Network) -> bool:
        """Whether more float16 pairs are left to try where the best promise is not kept."""
        if not self.request.is_float16 or self.request.options.accuracy != "auto" or self.rows is None:
            return False
        curved = any(layer.activation in ("tanh", "logistic") for layer in self.source.layers)
        left = network.parts == 1 or (network.output_parts == 1 and not curved)
        plain = network.unpaired or network
        is_added = self.options.output_pairs == "added" and plain.form == "conv"
        fits = curved or can_pair_outputs(plain, added=is_added)
        small = count_weights(plain) <= MAX_WEIGHTS_FOR_PAIRS and fits
        return left and small and not network.head_on_npu

    def attempt(self, toolkit: Toolkit, network: Network) -> Attempt:
        """Build every file and check it."""
        request = self.request
        if any(layer.activation == REFINED for layer in network.layers):
            # Padding rows are free.
            sizes = dict.fromkeys(max(MIN_REFINED_BATCH_SIZE, size) for size in request.batch_sizes)
            request = attrs.evolve(request, batch_sizes=tuple(sizes))
        job = attrs.evolve(self, request=request)
        expectations = _Expectations(self.source, network, is_float16=request.is_float16)
        files = {size: job._build_file(toolkit, network, size, expectations) for size in request.batch_sizes}
        return Attempt(request, files, self.promises)

    def _build_file(
        self, toolkit: Toolkit, network: Network, batch_size: int, expectations: _Expectations
    ) -> BuiltFile:
        """Build the file for a batch size, and check it while the toolkit simulates it."""
        request, order = self.request, self._order(network, batch_size)
        text = f"the {request.precision} file for batches of {batch_size}"
        with stage(f"Building {text}"), self._start(toolkit, network, order) as building:
            self.beside()
            is_first = batch_size == request.batch_sizes[0]
            ranges = ranges_document(network, self.rows, FLOAT16_MAX) if is_first else ()
            compared = order.compared(expectations)
            early = _early_file(building)
            rknn, content = early or _file(building)
            with stage(f"Checking {text}"):
                built = self._check(rknn, content, compared, building)
                if rknn != _result(building).rknn:  # what was taken for all of it was not
                    built = self._check(*_file(building), compared, building)
        return attrs.evolve(built, ranges=ranges)

    def _order(self, network: Network, batch_size: int) -> _Order:
        """Return what the toolkit is given for a batch size."""
        options, checked, runs, calibration = self.request.options, None, None, None
        if options.check != "off":
            checked = choose_rows(self.source, self.rows, batch_size, self.own, self.own_source)
            runs = _runs(network, checked.rows, batch_size)
        if self.rows is not None and not self.request.is_float16:
            rows = calibration_rows(network, self.rows, options.calibration_rows, options.calibration_seed)
            calibration = _runs(network, rows, batch_size)
        model = onnx_from_network(network, batch_size).SerializeToString(deterministic=True)
        return _Order(model, calibration, checked, runs)

    def _start(
        self, toolkit: Toolkit, network: Network, order: _Order
    ) -> contextlib.AbstractContextManager[Building]:
        return toolkit.start(
            order.model,
            config=self.request.toolkit_config(network),
            calibration=order.calibration,
            simulate=order.simulate,
            timeout=self.request.options.timeout,
        )

    def _check(
        self, rknn: bytes, content: RknnFile | str, compared: _Compared | None, building: Building
    ) -> BuiltFile:
        """Check a file, which the toolkit may simulate meanwhile."""
        options = self.request.options
        built = inspect_file(rknn, content, form=options.form, allow_cpu=options.allow_cpu)
        if compared is None:
            return built
        per_channel = options.quantized_method == "channel"
        check = run_check(*compared, content, lambda: _simulated(building), per_channel=per_channel)
        return attrs.evolve(built, check=check)

    def better_precision(self, toolkit: Toolkit) -> str:
        """Return the first other precision that meets its limits, or an empty text."""
        for precision in map(Precision, self.request.toolkit.config):
            if precision is self.request.precision:
                continue
            options = replace(self.request.options, accuracy="auto", min_labels=None, min_r2=None, check="on")
            try:
                request = attrs.evolve(self.request, precision=precision, options=options)
                job = attrs.evolve(self, request=request)
                attempt = build_with_room(job, toolkit, job.network())[1]
            except Sklearn2RknnError:
                continue
            if not attempt.failed_limit:
                return precision.value
        return ""


def build_with_room(job: Job, toolkit: Toolkit, network: Network) -> tuple[Network, Attempt]:
    """Build, and again with less room outside the example where bits are lacking."""
    attempt = job.attempt(toolkit, network)
    for reach in LESS_REACH:
        if network.reach is None or not attempt.failed_limit:
            break
        network = job.network(reach)
        attempt = job.attempt(toolkit, network)
    return network, attempt


def _runs(network: Network, rows: Floats, batch_size: int) -> npt.NDArray[np.float32]:
    return pack(network.prepare(rows), input_channels(network), batch_size, network.form)


def _result(building: Building) -> Built:
    """Return what was built, or say which numbers int16 cannot hold."""
    try:
        return building.result()
    except ConversionError as error:
        too_large = TOO_LARGE.search(error.reason)
        if too_large is None:
            raise
        raise RangeError(
            f"Numbers of {too_large[1]} pass {2**14}, where the toolkit's int16 ends. Scale X (and y of "
            "a regressor) before fit, and fit again, or take precision='float16'."
        ) from error


def _simulated(building: Building) -> npt.NDArray[np.float32]:
    simulated = _result(building).simulated
    assert simulated is not None, "the toolkit was given rows to simulate"
    return simulated


def _file(building: Building) -> tuple[bytes, RknnFile | str]:
    rknn = _result(building).rknn
    return rknn, parse_file(rknn)


def _early_file(building: Building) -> tuple[bytes, RknnFile] | None:
    """Return the file as soon as it is complete, or None where the toolkit has ended before."""
    for rknn in building.early_files():
        content = parse_file(rknn)
        if not isinstance(content, str):
            return rknn, content
    return None


def make_job(source: Network, rows: Floats | None, own: Floats | None, request: ConversionRequest) -> Job:
    """Return the job, with held-out rows where there are enough."""
    if own is not None and len(own) >= FEWEST_ROWS:
        return Job(source, request, rows, own, own_source="check_input")
    if rows is None or request.options.check == "off":
        return Job(source, request, rows)
    building, held_out = hold_out(rows)
    return Job(source, request, building, held_out)
