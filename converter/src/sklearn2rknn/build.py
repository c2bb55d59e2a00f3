"""Build a model file for each batch size, and again where a check calls for it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

import virtual_npu
from sklearn2rknn.checking.built_file_check import run_check, shortfall
from sklearn2rknn.errors import (
    ConversionError,
    CpuFallbackError,
    ExampleInputError,
    RangeError,
    Sklearn2RknnError,
)
from sklearn2rknn.network.layer import FEWEST_SAMPLES, REFINED
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.onnx_graph import input_channels, onnx_from_network, pack
from sklearn2rknn.network.ranges import Floats
from sklearn2rknn.options import Options
from sklearn2rknn.passes.prepare_network import condition, count_weights
from sklearn2rknn.progress import stage
from sklearn2rknn.rows.calibration_rows import calibration_rows
from sklearn2rknn.rows.check_rows import ROW_LIMIT, choose_rows
from sklearn2rknn.rows.held_out import hold_out
from sklearn2rknn.rows.reach import LESS_REACH, REACH
from sklearn2rknn.tolerances import FEWEST_ROWS, LARGE, Promise, promises
from sklearn2rknn.toolkit.toolkit import Built, Toolkit
from virtual_npu import RknnFile

TOO_LARGE = re.compile(r"The 'min/max' of '(.*)' is too large for 'w16a16i_dfp'")
"""What the toolkit says of numbers that its int16 cannot hold, and of which tensor."""


@attrs.frozen(eq=False)
class _File:
    """A model file, what it says, and what the check said of it."""

    rknn: bytes
    content: RknnFile | str
    placement: Mapping[str, Any]
    check: Mapping[str, Any]


@attrs.frozen(eq=False)
class Attempt:
    """What was built for one precision, by rows per run."""

    options: Options
    files: Mapping[int, _File]
    promises: tuple[Promise, ...]

    @property
    def promise(self) -> Promise:
        """The best that every file keeps; the least where there is none."""
        kept = (each for each in self.promises if not any(self._missed(each)))
        return next(kept, self.promises[-1])

    @property
    def missed(self) -> str:
        """Where the promise is not kept; an empty text where it is."""
        return next(filter(None, self._missed(self.promise)), "")

    def _missed(self, promise: Promise) -> list[str]:
        required = self.options.required(promise)
        return [shortfall(file.check, required) for file in self.files.values()]

    @property
    def placement(self) -> Mapping[str, Any]:
        """Where the first file's layers run."""
        return next(iter(self.files.values())).placement

    @property
    def check(self) -> Mapping[str, Any]:
        """The first file's, or that of one which falls short."""
        checks = [file.check for file in self.files.values()]
        missed = self._missed(self.promise)
        return next((check for check, text in zip(checks, missed, strict=True) if text), checks[0])


@attrs.frozen(eq=False)
class Job:
    """A network to be converted, from which other precisions can be tried too."""

    source: Network
    rows: Floats | None
    options: Options
    own: Floats | None = None
    own_source: str = "held_out"

    @property
    def promises(self) -> tuple[Promise, ...]:
        """What can be promised, the best first."""
        return promises(self.options.precision, [layer.activation for layer in self.source.layers])

    @property
    def multiplications(self) -> int:
        """How many it takes to run the rows, or as many as a check does."""
        rows = ROW_LIMIT if self.rows is None else max(ROW_LIMIT, len(self.rows))
        return rows * sum(layer.weights.size for layer in self.source.layers)

    def network(self, reach: float = REACH) -> Network:
        """Return what the toolkit is to be given, in int16 with room for `reach` times the example's range.

        Raises
        ------
        ExampleInputError, OptionError, RangeError
            It is not possible in this precision.
        """
        options = self.options
        if self.rows is None and options.precision != "float16":
            raise ExampleInputError(
                f"{options.precision} needs example_input, from which the ranges are taken: "
                "give some hundred rows of X, for example example_input=X_train[:200]."
            )
        return condition(
            self.source, self.rows, options.precision, options.accuracy, options.activation, reach
        )

    def can_be_paired(self, network: Network) -> bool:
        """Whether more float16 pairs are left to try where the best promise is not kept."""
        options = self.options
        if options.precision != "float16" or options.accuracy != "auto" or self.rows is None:
            return False
        curved = any(layer.activation in ("tanh", "logistic") for layer in self.source.layers)
        left = network.parts == 1 or (network.output_parts == 1 and not curved)
        small = count_weights(network.undivided or network) <= LARGE
        return left and small and not network.head_on_npu

    def attempt(self, toolkit: Toolkit, network: Network) -> Attempt:
        """Build every file and check it."""
        options = self.options
        if any(layer.activation == REFINED for layer in network.layers):
            # A row that fills up the run costs nothing.
            raised = dict.fromkeys(max(FEWEST_SAMPLES, samples) for samples in options.samples)
            options = attrs.evolve(options, samples=tuple(raised))
        files = {
            samples: self._file(toolkit, network, attrs.evolve(options, samples=(samples,)))
            for samples in options.samples
        }
        return Attempt(options, files, self.promises)

    def _calibration(self, network: Network) -> Floats | None:
        if self.rows is None or self.options.precision == "float16":
            return None
        options = self.options
        return calibration_rows(network, self.rows, options.calibration_rows, options.calibration_seed)

    def _file(self, toolkit: Toolkit, network: Network, options: Options) -> _File:
        """Build the file for ``options.samples[0]`` rows a run, and check it."""
        (samples,) = options.samples
        checked = None
        if options.check != "off":
            checked = choose_rows(self.source, self.rows, samples, self.own, self.own_source)
        with stage(f"Building the {options.precision} file for {samples} rows a run"):
            built = _build(
                network,
                samples,
                options,
                toolkit,
                self._calibration(network),
                None if checked is None else checked.rows,
            )
        content = _read(built.rknn)
        placement = _placement(content)
        # MatMul and Gemm bring these, which compute nothing.
        tolerated = () if options.form == "conv" else ("Reshape", "Transpose")
        names = ", ".join(
            f"{name} ({kind})"
            for name, kind, where in placement["layers"]
            if where != "NPU" and kind not in tolerated
        )
        if names and not options.allow_cpu:
            raise CpuFallbackError(
                "build",
                f"these layers were placed on the CPU: {names}.",
                advice="Pass allow_cpu=True to accept it.",
            )
        if checked is None or built.simulated is None:
            check: Mapping[str, Any] = {"off": True}
        else:
            with stage(f"Checking the {options.precision} file for {samples} rows a run"):
                check = run_check(
                    self.source,
                    network,
                    checked,
                    built.simulated,
                    content,
                    samples,
                    quantized=options.precision != "float16",
                    per_channel=options.method == "channel",
                )
        return _File(built.rknn, content, placement, check)

    def better_precision(self, toolkit: Toolkit) -> str:
        """Return the first other precision whose file reaches its limits; empty where there is none."""
        for precision in self.options.entry.config:
            if precision == self.options.precision:
                continue
            options = attrs.evolve(
                self.options, precision=precision, accuracy="auto", min_labels=None, min_r2=None, check="on"
            )
            try:
                job = attrs.evolve(self, options=options)
                attempt = build_with_room(job, toolkit, job.network())[1]
            except Sklearn2RknnError:
                continue
            if not attempt.missed:
                return precision
        return ""


def build_with_room(job: Job, toolkit: Toolkit, network: Network) -> tuple[Network, Attempt]:
    """Build, and again with less room for rows outside the example where its bits are missed in it."""
    attempt = job.attempt(toolkit, network)
    for reach in LESS_REACH:
        if network.reach is None or not attempt.missed:
            break
        network = job.network(reach)
        attempt = job.attempt(toolkit, network)
    return network, attempt


def make_job(source: Network, rows: Floats | None, own: Floats | None, options: Options) -> Job:
    """Return the job, with rows that the file is not built from where there are enough."""
    if own is not None and len(own) >= FEWEST_ROWS:
        return Job(source, rows, options, own, "check_input")
    if rows is None or options.check == "off":
        return Job(source, rows, options)
    building, held = hold_out(rows)
    return Job(source, building, options, held)


def _build(
    network: Network,
    samples: int,
    options: Options,
    toolkit: Toolkit,
    calibration: Floats | None,
    check_rows: Floats | None,
) -> Built:
    channels = input_channels(network)
    runs = None
    if calibration is not None:
        runs = pack(network.prepare(calibration), channels, samples, network.form)
    try:
        return toolkit.build(
            onnx_from_network(network, samples).SerializeToString(deterministic=True),
            config=options.config(network),
            calibration=runs,
            simulate=None
            if check_rows is None
            else pack(network.prepare(check_rows), channels, samples, network.form),
            timeout=options.timeout,
        )
    except ConversionError as error:
        found = TOO_LARGE.search(error.reason)
        if found is None:
            raise
        raise RangeError(
            f"Numbers of {found[1]} pass {2**14}, where the toolkit's int16 ends. Scale X (and y of a "
            "regressor) before fit, and fit again, or take precision='float16'."
        ) from error


def _read(data: bytes) -> RknnFile | str:
    """Parse a file; where its format is not known, as of chips with another NPU, say why."""
    try:
        return virtual_npu.read(data)
    except (virtual_npu.FileFormatError, virtual_npu.UnsupportedFormat) as error:
        return str(error)


def _placement(file: RknnFile | str) -> dict[str, Any]:
    if isinstance(file, str):
        return {"npu": 0, "cpu": 0, "layers": [], "unknown": file}
    layers = [list(layer) for layer in virtual_npu.placement(file)]
    on_npu = sum(where == "NPU" for _, _, where in layers)
    return {"npu": on_npu, "cpu": len(layers) - on_npu, "layers": layers}


def estimate_run(attempt: Attempt, options: Options) -> tuple[float, float] | None:
    """Return the estimated seconds of a run, low and high, or None where nothing is known."""
    content = attempt.files[options.samples[0]].content
    if isinstance(content, str) or not options.target_platform.startswith("rk3588"):
        return None
    return virtual_npu.estimate(content).seconds
