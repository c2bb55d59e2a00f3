"""From an estimator to a bundle on disk."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import time
import warnings
from collections.abc import Mapping, Sequence
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import sklearn

import virtual_npu
from scirknn.bundle import Bundle, Variant, write_bundle
from scirknn.bundle.contents import PRECISIONS
from scirknn.bundle.input_range import InputRange
from sklearn2rknn.blas_threads import single_blas_thread
from sklearn2rknn.calibration import ROWS, calibration_rows, input_range, warn_of_constant_columns
from sklearn2rknn.check import ROW_LIMIT, choose_rows
from sklearn2rknn.conditioning import ACCURACIES, condition, count_weights
from sklearn2rknn.errors import (
    CheckError,
    CheckWarning,
    ConversionError,
    CpuFallbackError,
    ExampleInputError,
    ExampleInputWarning,
    OptionError,
    RangeError,
    Sklearn2RknnError,
)
from sklearn2rknn.estimators import network_from_estimator
from sklearn2rknn.example_input import validate_example_input
from sklearn2rknn.gate import CHECKS, is_beyond_bound, last_word, run_check, shortfall
from sklearn2rknn.held_out import hold_out
from sklearn2rknn.network import FORMS, REFINED, Floats, Network
from sklearn2rknn.onnx_graph import SOFTMAX_OPSET, input_channels, onnx_from_network, pack
from sklearn2rknn.progress import stage
from sklearn2rknn.range_guard import FLOAT16_MAX
from sklearn2rknn.reach import LESS_REACH, REACH
from sklearn2rknn.refinement import ACTIVATION_FORMS, FEWEST_SAMPLES
from sklearn2rknn.report import ConversionReport, describe
from sklearn2rknn.tensor_ranges import ranges_document
from sklearn2rknn.tolerances import FEWEST_ROWS, LARGE, Promise, Requirement, promises
from sklearn2rknn.toolkit import Built, Toolkit, shared_toolkit
from sklearn2rknn.toolkit_choice import parse_choice
from sklearn2rknn.toolkit_versions import ToolkitVersion, toolkit_version
from virtual_npu import RknnFile

__all__ = ["convert"]

SAMPLES = 64
"""Rows per run, by default: a run of 64 is estimated to cost hardly more than one of a single row, and a row
in it a fiftieth (the table in converter/README.md)."""

BATCH_LIMIT = 16384
"""Rows per run that conversions were measured up to; beyond it the toolkit takes minutes."""

ALGORITHMS = ("normal", "mmse", "kl_divergence")
METHODS = ("channel", "layer")
TOO_LARGE = re.compile(r"The 'min/max' of '(.*)' is too large for 'w16a16i_dfp'")
"""What the toolkit says of numbers that its int16 cannot hold, and of which tensor."""

HEADS = ("host", "npu")
"""Where the output activation is evaluated."""


@attrs.frozen
class _Options:
    """What `convert` was asked for, found possible."""

    path: Path
    entry: ToolkitVersion
    target_platform: str
    precision: str
    samples: tuple[int, ...]
    algorithm: str
    method: str
    calibration_rows: int = ROWS
    calibration_seed: int = 0
    accuracy: str = "auto"
    activation: str = "refined"
    form: str = "conv"
    head: str = "host"
    check: str = "on"
    min_labels: float | None = None
    min_r2: float | None = None
    allow_cpu: bool = False
    timeout: float = 300.0

    def required(self, promise: Promise) -> Requirement:
        """Return what the check asks for, so that a promise is kept."""
        required, least = promise.for_check(), self.min_labels
        if least is not None:
            required = attrs.evolve(required, labels=least, expected_labels=least, probability=None)
        return required if self.min_r2 is None else attrs.evolve(required, r2=self.min_r2)

    def config(self, network: Network) -> dict[str, Any]:
        """Return the arguments of the toolkit's ``config``."""
        quantized = (
            {"quantized_algorithm": self.algorithm, "quantized_method": self.method}
            if self.precision != "float16"
            else {}
        )
        return {
            "target_platform": self.target_platform,
            "custom_string": f"sklearn2rknn {_own_version()}; weights sha256 {network.weights_digest()}",
            **self.entry.config[self.precision],
            **quantized,
        }


def convert(
    model: Any,
    path: str | os.PathLike[str],
    target_platform: str = "rk3588",
    *,
    quantization: bool = False,
    example_input: Any = None,
    check_input: Any = None,
    precision: str | None = None,
    batch_size: int | Sequence[int] = SAMPLES,
    toolkit: Toolkit | str | None = None,
    quantized_algorithm: str = "normal",
    quantized_method: str = "channel",
    calibration_rows: int = ROWS,
    calibration_seed: int = 0,
    accuracy: str = "auto",
    activation: str = "refined",
    form: str = "conv",
    head: str = "host",
    check: str = "on",
    min_labels: float | None = None,
    min_r2: float | None = None,
    allow_cpu: bool = False,
    timeout: float = 300.0,
) -> ConversionReport:
    """Convert a fitted estimator and write it as a bundle: ``NAME.rknn`` and ``NAME.rknn.json``.

    Parameters
    ----------
    model : sklearn.neural_network.MLPClassifier or MLPRegressor
        Fitted. Or a Pipeline that ends in one, a TransformedTargetRegressor around one, or a search such as
        GridSearchCV whose best estimator is one of these.
    path : path-like
        Where to write, ``NAME.rknn``. Existing files are replaced, once the new ones are whole.
    target_platform : str
        The chip, such as ``"rk3588"``.
    quantization : bool
        The same as ``precision="int8"``.
    example_input : array-like, shape (n, n_features_in), optional
        Rows of X as the model will meet it, some hundred. int8 and int16 need them; float16 gains from them
        when features or outputs are large, and the check then runs real rows.
    check_input : array-like, shape (n, n_features_in), optional
        Other rows of X, on which the file is checked. By default a quarter of the example input is held out
        for it, at least 32 rows and at most 512, where at least as many remain.
    precision : {"float16", "int8", "int16"}, optional
        By default ``"float16"``.
    batch_size : int or sequence of int
        Rows per run on the NPU, by default 64, which suits one row and many. The runtime fills up and cuts
        whatever it is given; for several sizes there are as many files, ``NAME.rknn`` for the first and
        ``NAME.n<N>.rknn`` for the others. A refined activation takes at least 2.
    toolkit : Toolkit or str, optional
        A toolkit or its version, by default the newest one that is well tried. ``"2.3.2"`` takes a container
        where an engine has its image, else a virtual environment; ``"2.3.2@container"`` and ``"2.3.2@venv"``
        insist.
    quantized_algorithm : {"normal", "mmse", "kl_divergence"}
    quantized_method : {"channel", "layer"}
        How the toolkit finds ranges, and whether weights have a scale per output channel.
    calibration_rows, calibration_seed : int
        How many rows of the example input integers take their ranges from, the extreme ones always among
        them, and the seed with which the others are drawn. Time grows with them, most of all for few rows per
        run and ``"mmse"``.
    accuracy : {"auto", "single", "double"}
        Of float16 with relu or identity: one float16 number for each value between layers, or two, which
        makes the result as exact as float32 for one layer more per hidden layer, of three times the width.
        ``"auto"`` takes two where one would not keep the promise (`sklearn2rknn.tolerances`).
    activation : {"refined", "plain"}
        Form of tanh and logistic in float16. The refined one errs by a seventh of the plain one's error and
        takes three tasks more for each hidden layer. int8 always takes the plain one, int16 a form of its
        own, of two tasks more and four channels for each unit.
    form : {"conv", "matmul", "gemm"}
        Operators of the graph. 1x1 convolutions are all on the NPU. ``"matmul"``, MatMul and Add as the
        first scirknn wrote them, is for comparison on a board: the toolkit makes convolutions of them and
        puts Reshapes around, the CPU's. ``"gemm"`` is for comparing toolkits: 2.2.0, 2.3.0 and 2.3.2 lose
        the bias of a layer of one input, which the check then finds.
    head : {"host", "npu"}
        Where softmax or the logistic function of a classifier is evaluated. In float16 on the NPU it errs by
        1e-3 (softmax of toolkit 2.5.0: 1e-2), and a runtime then gives probabilities as ``raw_output``.
    check : {"on", "warn", "off"}
        The built file is run in the vendor's simulator and on the virtual NPU, whose word is the last. Below
        the limits nothing is written; with ``"warn"`` it is, and without example input too, since random rows
        say little. ``"off"`` runs nothing, and the bundle says so.
    min_labels, min_r2 : float, optional
        What the check requires in place of `sklearn2rknn.tolerances`: share of labels away from ties that
        equal scikit-learn's, where probabilities are not held to anything then, and R2 of a regressor's worst
        output. By default 0.999 and 0.9997, for int8 0.99 and 0.985.
    allow_cpu : bool
        Accept layers that the toolkit places on the CPU.
    timeout : float
        Seconds that the toolkit may take for each file.

    Returns
    -------
    ConversionReport

    Raises
    ------
    UnsupportedModelError, NotFittedError
        The model cannot be converted.
    OptionError
        An argument has no such value.
    ExampleInputError
        The example input does not fit the model, or is missing.
    RangeError
        A weight or a tensor of known range does not fit float16 or int16, and no exact rescaling brings it
        in.
    ToolkitError
        The toolkit cannot be installed or started.
    ConversionError
        The toolkit failed, placed a layer on the CPU, or built a file that computes infinities, falls below
        the limits or errs by more than its derived bound. Nothing is written.
    OSError
        The folder cannot be written to.

    Warns
    -----
    ExampleInputWarning
        The example input has few rows, or for integers none of some class.
    CheckWarning
        The file computes something else than the estimator.
    """
    started = time.monotonic()
    whole = network_from_estimator(model)
    options = _options(
        path,
        target_platform,
        quantization,
        precision,
        batch_size,
        toolkit,
        quantized_algorithm,
        quantized_method,
    )
    options = attrs.evolve(
        options,
        calibration_rows=_count("calibration_rows", calibration_rows, 1),
        calibration_seed=_count("calibration_seed", calibration_seed, 0),
        accuracy=_choice("accuracy", accuracy, ACCURACIES),
        activation=_choice("activation", activation, ACTIVATION_FORMS),
        form=_choice("form", form, FORMS),
        head=_choice("head", head, HEADS),
        check=_choice("check", check, CHECKS),
        min_labels=_limit("min_labels", min_labels),
        min_r2=_limit("min_r2", min_r2),
        allow_cpu=allow_cpu,
        timeout=timeout,
    )
    whole = _as_asked(whole, options)
    rows = None if example_input is None else validate_example_input(example_input, whole)
    own = None if check_input is None else validate_example_input(check_input, whole, "check_input")
    job = _job(whole.within(), rows, own, options)
    with single_blas_thread(job.multiplications):
        if rows is not None and options.precision != "float16":
            assert job.rows is not None
            _warn_of_missing_classes(job.source, job.rows)
            warn_of_constant_columns(whole, job.rows)
        network = job.network()  # what is refused is refused before a toolkit is started
        if not isinstance(toolkit, Toolkit):
            toolkit = shared_toolkit(toolkit)
        network, attempt = _build_with_room(job, toolkit, network)
        if attempt.promise != attempt.promises[0] and job.can_be_paired(network):
            job = attrs.evolve(job, options=attrs.evolve(options, accuracy="double"))
            network = job.network()
            attempt = job.attempt(toolkit, network)
        _judge(job, attempt, toolkit)
        ranges = ranges_document(network, job.rows, FLOAT16_MAX)
        held = None
        if job.rows is not None and options.precision != "float16":
            held = input_range(whole, network, job.rows)
    source, options, placement = job.source, attempt.options, attempt.placement
    variants = tuple(
        Variant(
            _file_name(options, samples),
            samples,
            hashlib.sha256(file.rknn).hexdigest(),
            _content_digest(file.content),
        )
        for samples, file in sorted(attempt.files.items())
    )
    details: dict[str, Any] = {
        "toolkit": {
            "version": toolkit.version,
            **toolkit.environment.to_json(),
            "target_platform": options.target_platform,
            "model_format": options.entry.model_format,
            "oldest_runtime": options.entry.oldest_runtime,
            "oldest_driver": options.entry.oldest_driver,
            "options": options.config(network),
            "form": options.form,
        },
        "placement": placement,
        "ranges": ranges,
        "check": attempt.check,
        "source": {
            "estimator": f"{type(model).__module__}.{type(model).__qualname__}",
            "sklearn": sklearn.__version__,
            "weights_digest": whole.weights_digest(),
            "created_by": f"sklearn2rknn {_own_version()}",
        },
    }
    if "held_out" in attempt.check and attempt.check["input"] != "random":
        details["promise"] = attrs.asdict(attempt.promise)
    files = {_file_name(options, samples): file.rknn for samples, file in attempt.files.items()}
    write_bundle(_bundle(whole.around(network), options, variants, details, held), files)
    return ConversionReport(
        path=options.path,
        files={name: len(data) for name, data in files.items()},
        samples=options.samples,
        estimator=source.estimator,
        task=source.task,
        head=source.head,
        head_on_npu=source.head_on_npu,
        form=options.form,
        widths=whole.widths,
        precision=options.precision,
        accuracy="single" if network.parts == 1 else "double",
        activations=tuple(layer.activation for layer in network.layers),
        target_platform=options.target_platform,
        toolkit=details["toolkit"],
        placement=placement,
        ranges=ranges,
        check=attempt.check,
        estimate=_estimate(attempt, options),
        seconds=round(time.monotonic() - started, 3),
    )


@attrs.frozen(eq=False)
class _File:
    """A model file, what it says, and what the check said of it."""

    rknn: bytes
    content: RknnFile | str
    placement: Mapping[str, Any]
    check: Mapping[str, Any]


@attrs.frozen(eq=False)
class _Attempt:
    """What was built for one precision, by rows per run."""

    options: _Options
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
        return next(iter(self.files.values())).placement

    @property
    def check(self) -> Mapping[str, Any]:
        """The first file's, or that of one which falls short."""
        checks = [file.check for file in self.files.values()]
        missed = self._missed(self.promise)
        return next((check for check, text in zip(checks, missed, strict=True) if text), checks[0])


@attrs.frozen(eq=False)
class _Job:
    """A network to be converted, from which other precisions can be tried too."""

    source: Network
    rows: Floats | None
    options: _Options
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

    def attempt(self, toolkit: Toolkit, network: Network) -> _Attempt:
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
        return _Attempt(options, files, self.promises)

    def _calibration(self, network: Network) -> Floats | None:
        if self.rows is None or self.options.precision == "float16":
            return None
        options = self.options
        return calibration_rows(network, self.rows, options.calibration_rows, options.calibration_seed)

    def _file(self, toolkit: Toolkit, network: Network, options: _Options) -> _File:
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
                attempt = _build_with_room(job, toolkit, job.network())[1]
            except Sklearn2RknnError:
                continue
            if not attempt.missed:
                return precision
        return ""


def _build_with_room(job: _Job, toolkit: Toolkit, network: Network) -> tuple[Network, _Attempt]:
    """Build, and again with less room for rows outside the example where its bits are missed in it."""
    attempt = job.attempt(toolkit, network)
    for reach in LESS_REACH:
        if network.reach is None or not attempt.missed:
            break
        network = job.network(reach)
        attempt = job.attempt(toolkit, network)
    return network, attempt


def _judge(job: _Job, attempt: _Attempt, toolkit: Toolkit) -> None:
    """Refuse an attempt below its limits, or warn of it.

    Random rows are no ground to refuse, except by the bound, which is each row's own.
    """
    options = job.options
    missed = attempt.missed
    if not missed:
        return
    said = f"On the check's rows {missed} ({describe(last_word(attempt.check))})."
    if options.check == "on" and (job.rows is not None or is_beyond_bound(attempt.check)):
        better = job.better_precision(toolkit)
        raise CheckError(
            "check",
            said,
            advice=(
                f"precision={better!r} would do."
                if better
                else "No other precision would do: scale X (and y of a regressor) before fit."
            )
            + " Lower limits are set by min_labels and min_r2.",
        )
    warnings.warn(
        f"{said} Give typical rows as example_input, scale X before fit, or take another precision.",
        CheckWarning,
        stacklevel=3,
    )


def _warn_of_missing_classes(source: Network, rows: Floats) -> None:
    if source.task != "classifier" or source.classes is None:
        return
    met = set(source.predict(source.forward(rows)).tolist())
    missing = [str(label) for i, label in enumerate(source.classes.tolist()) if i not in met]
    if missing:
        named = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        warnings.warn(
            f"No row of example_input is classified as {named}. The ranges of every layer are taken from "
            "these rows, and what such a row needs may be cut off; give rows of every class.",
            ExampleInputWarning,
            stacklevel=3,
        )


def _limit(name: str, value: float | None) -> float | None:
    if value is not None and not -np.inf < value <= 1:
        raise OptionError(f"{name} is {value!r:.60}; it can be a number up to 1.")
    return value


def _job(source: Network, rows: Floats | None, own: Floats | None, options: _Options) -> _Job:
    """Return the job, with rows that the file is not built from where there are enough."""
    if own is not None and len(own) >= FEWEST_ROWS:
        return _Job(source, rows, options, own, "check_input")
    if rows is None or options.check == "off":
        return _Job(source, rows, options)
    building, held = hold_out(rows)
    return _Job(source, building, options, held)


@functools.cache
def _own_version() -> str:
    return distribution_version("sklearn2rknn")


def _choice(name: str, value: Any, choices: Sequence[str]) -> str:
    if value not in choices:
        raise OptionError(f"{name} is {value!r:.60}; it can be {', '.join(choices)}.")
    return str(value)


def _options(
    path: str | os.PathLike[str],
    target_platform: str,
    quantization: bool,
    precision: str | None,
    batch_size: int | Sequence[int],
    toolkit: Toolkit | str | None,
    algorithm: str,
    method: str,
) -> _Options:
    """Check every option before anything is started."""
    target = Path(path)
    if target.suffix != ".rknn":
        raise OptionError(f"The path is {os.fspath(path)!r}; a model file's name ends in .rknn.")
    if not target.parent.is_dir():
        raise OptionError(f"There is no folder {target.parent}. Make it first.")
    if target.is_dir():
        raise OptionError(f"{target} is a folder. Give the path of a file.")
    entry = toolkit_version(toolkit.version if isinstance(toolkit, Toolkit) else parse_choice(toolkit)[0])
    wanted = precision if precision is not None else ("int8" if quantization else "float16")
    _choice("precision", wanted, [name for name in PRECISIONS if name in entry.config])
    if quantization and wanted == "float16":
        raise OptionError(
            "quantization=True and precision='float16' contradict each other. Drop one of them."
        )
    platform = target_platform.lower() if isinstance(target_platform, str) else target_platform
    _choice("target_platform", platform, entry.target_platforms)
    if wanted == "float16" and platform in entry.integer_only_platforms:
        raise OptionError(f"{platform} computes in integers only. Pass quantization=True and example_input.")
    return _Options(
        path=target,
        entry=entry,
        target_platform=platform,
        precision=wanted,
        samples=_samples(batch_size),
        algorithm=_choice("quantized_algorithm", algorithm, ALGORITHMS),
        method=_choice("quantized_method", method, METHODS),
    )


def _as_asked(whole: Network, options: _Options) -> Network:
    """Return the network in the form that was asked for, with its head where it is to be."""
    whole = attrs.evolve(whole, form=options.form)
    if options.head == "host" or whole.head == "identity":
        return whole
    if whole.head == "exp":
        raise OptionError(f"{whole.estimator}'s output activation 'exp' has no place on the NPU. Drop head.")
    entry = options.entry
    if whole.head == "softmax":
        if entry.opset_ceiling < SOFTMAX_OPSET:
            raise OptionError(
                f"Toolkit {entry.version} reads ONNX up to opset {entry.opset_ceiling}, whose softmax is "
                "taken over all samples of a run. Drop head='npu' or take another toolkit."
            )
        if options.target_platform in entry.softmax_cpu_platforms and not options.allow_cpu:
            raise OptionError(
                f"Toolkit {entry.version} places softmax on the CPU of {options.target_platform}. Drop "
                "head='npu', whose place is the host's CPU too, or pass allow_cpu=True."
            )
    return attrs.evolve(whole, head_on_npu=True)


def _count(name: str, value: Any, least: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < least:
        raise OptionError(f"{name} is {value!r:.60}; it can be a whole number from {least} on.")
    return int(value)


def _samples(batch_size: Any) -> tuple[int, ...]:
    sizes = list(batch_size) if isinstance(batch_size, (Sequence, np.ndarray)) else [batch_size]
    for size in sizes:
        if isinstance(size, (bool, np.bool_)) or not isinstance(size, (int, np.integer)):
            raise OptionError(f"batch_size holds {size!r:.60}; it takes whole numbers.")
        if not 1 <= size <= BATCH_LIMIT:
            raise OptionError(f"batch_size holds {size}; it can be 1 to {BATCH_LIMIT}.")
    if not sizes or len(set(sizes)) != len(sizes):
        raise OptionError(f"batch_size is {batch_size!r:.60}; give one number or several different ones.")
    return tuple(int(size) for size in sizes)


def _build(
    network: Network,
    samples: int,
    options: _Options,
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


def _content_digest(file: RknnFile | str) -> str:
    return "" if isinstance(file, str) else virtual_npu.content_digest(file)


def _placement(file: RknnFile | str) -> dict[str, Any]:
    if isinstance(file, str):
        return {"npu": 0, "cpu": 0, "layers": [], "unknown": file}
    layers = [list(layer) for layer in virtual_npu.placement(file)]
    on_npu = sum(where == "NPU" for _, _, where in layers)
    return {"npu": on_npu, "cpu": len(layers) - on_npu, "layers": layers}


def _estimate(attempt: _Attempt, options: _Options) -> tuple[float, float] | None:
    content = attempt.files[options.samples[0]].content
    if isinstance(content, str) or not options.target_platform.startswith("rk3588"):
        return None
    return virtual_npu.estimate(content).seconds


def _file_name(options: _Options, samples: int) -> str:
    if samples == options.samples[0]:
        return options.path.name
    return f"{options.path.stem}.n{samples}.rknn"


def _bundle(
    network: Network,
    options: _Options,
    variants: tuple[Variant, ...],
    details: Mapping[str, Any],
    held: InputRange | None,
) -> Bundle:
    return Bundle(
        path=options.path,
        task=network.task,
        estimator=network.estimator,
        classes=network.classes,
        n_features_in=network.n_features_in,
        n_outputs=network.n_outputs,
        feature_names=network.feature_names,
        single_output=network.single_output,
        dtype=network.dtype,
        head=network.head,
        channels=input_channels(network),
        input=network.input,
        output=network.output,
        precision=options.precision,
        variants=variants,
        details=details,
        columns=network.columns,
        first_step=network.first_step,
        parts=network.parts,
        output_parts=network.output_parts,
        form="conv" if network.form == "conv" else "matmul",
        head_on_npu=network.head_on_npu,
        input_range=held,
    )
