"""From an estimator to a bundle on disk."""

from __future__ import annotations

import functools
import os
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import attrs

from scirknn.answers import responses_of
from scirknn.bundle import Bundle, Variant, bundle_files, write_bundle
from scirknn.files import sha256_of_bytes
from scirknn.networks.costs import break_even
from sklearn2rknn.build import Attempt, Job, build_with_room, make_job
from sklearn2rknn.candidates.comparison import PrecisionComparison
from sklearn2rknn.candidates.kernel_forms import KernelForm, choose_kernel_form
from sklearn2rknn.candidates.trials import (
    BEST,
    choose_trial,
    first_precision,
    require_held_out,
    try_candidates,
)
from sklearn2rknn.checking.blas_threads import single_blas_thread
from sklearn2rknn.checking.check_result import advise
from sklearn2rknn.checking.own_predictions import check_own_predictions
from sklearn2rknn.errors import CheckError, CheckWarning, OptionError
from sklearn2rknn.estimators.network_from_estimator import network_from_estimator
from sklearn2rknn.host_only import convert_on_host, refuse_precision
from sklearn2rknn.network.bundle_fields import bundle_fields
from sklearn2rknn.network.cpu_layers import cpu_layers
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.onnx_graph import input_channels
from sklearn2rknn.options import (
    BATCH_SIZE,
    ConversionOptions,
    ConversionRequest,
    choose_precision,
    source_details,
)
from sklearn2rknn.report import ConversionReport, describe
from sklearn2rknn.rows.calibration_rows import input_range, warn_of_poor_rows
from sklearn2rknn.rows.example_input import validate_example_input
from sklearn2rknn.toolkit.environment_choice import parse_choice
from sklearn2rknn.toolkit.pins.versions import ToolkitVersion, toolkit_version
from sklearn2rknn.toolkit.toolkit import Toolkit, is_running, shared_toolkit
from sklearn2rknn.toolkit.toolkit_facts import ToolkitFacts

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


def _accept_moved_keywords(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Accept the fields of `ConversionOptions` as deprecated keywords."""
    names = [field.name for field in fields(ConversionOptions)]

    @functools.wraps(function)
    def call(*arguments: Arguments.args, **keywords: Arguments.kwargs) -> Result:
        values: dict[str, Any] = dict(keywords)
        moved = {name: values.pop(name) for name in names if name in values}
        if moved:
            old, new = ", ".join(moved), ", ".join(f"{name}=..." for name in moved)
            warnings.warn(
                f"Deprecated keyword of convert: {old}. Write options=ConversionOptions({new}).",
                DeprecationWarning,
                stacklevel=2,
            )
            values["options"] = replace(values.get("options", ConversionOptions()), **moved)
        return function(*arguments, **values)

    return call


@_accept_moved_keywords
def convert(
    model: Any,
    path: str | os.PathLike[str],
    target_platform: str = "rk3588",
    *,
    precision: str | None = None,
    quantization: bool = False,
    example_input: Any = None,
    batch_size: int | Sequence[int] = BATCH_SIZE,
    toolkit: Toolkit | str | None = None,
    options: ConversionOptions = ConversionOptions(),  # noqa: B008  # frozen
) -> ConversionReport:
    """Convert a fitted estimator and write it as a bundle.

    Parameters
    ----------
    model : object
        A fitted estimator that ``sklearn2rknn supported`` lists, or a Pipeline or search of one.
    path : path-like
        Where to write, ``NAME.rknn``; ``NAME.rknn.json`` and ``NAME.npz`` come beside it. Existing files are
        replaced, once the new ones are complete.
    target_platform : str
        The chip, such as ``"rk3588"``.
    precision : Precision or {"float16", "int8", "int16", "best"}, optional
        By default ``"float16"``. ``"best"`` tries float16, float16 pairs, int16 and int8, and takes the
        fastest that keeps float16's promise (`compare_precisions`); it needs 64 rows of example input.
    quantization : bool
        The same as ``precision="int8"``.
    example_input : array-like, shape (n, n_features_in), optional
        Rows of X as the model will meet it, some hundred. int8 and int16 need them; float16 gains from them
        when features or outputs are large, and the check then runs real rows. On them, or else on the
        options' ``check_input``, the estimator's own answers are compared with its weights'; without rows
        they are not.
    batch_size : int or sequence of int
        Rows that a run on the NPU takes, 1 to 2,047, by default 64, which suits one row and many. The runtime
        pads and cuts whatever it is given; for several sizes there are as many files, ``NAME.rknn`` for the
        first and ``NAME.n<N>.rknn`` for the others. A refined activation takes at least 2.
    toolkit : Toolkit or str, optional
        A toolkit or its version, by default the newest one that is well tried. ``"2.3.2"`` takes a container
        where an engine has its image, else a virtual environment; ``"2.3.2@container"`` and ``"2.3.2@venv"``
        insist.
    options : ConversionOptions
        What few conversions need. Its fields are still accepted as keywords, with a DeprecationWarning.

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
    network = network_from_estimator(model)
    rows = options.check_input if example_input is None else example_input
    if not network.layers:
        wanted = None if precision == BEST else precision
        refuse_precision(network, wanted or ("int8" if quantization else None))
        return convert_on_host(model, network, Path(path), target_platform, rows)
    version = _version(toolkit)
    request = ConversionRequest(
        path=path,
        target_platform=target_platform,
        precision=choose_precision(
            first_precision(version, target_platform) if precision == BEST else precision, quantization
        ),
        batch_sizes=batch_size,
        toolkit=version,
        options=options,
    )
    network, job = _read_rows(network, request, example_input)
    check_model = functools.cache(functools.partial(check_own_predictions, model, network, rows))
    job = attrs.evolve(job, beside=check_model)
    with single_blas_thread(job.multiplications):
        if not is_running(toolkit):  # to start one takes seconds, to install it a minute
            check_model()
        if job.rows is not None and not request.is_float16:
            warn_of_poor_rows(network, job.source, job.rows)
        chosen = _prepare(job, precision)  # what is refused is refused before a toolkit is started
        toolkit = _started(toolkit)
        form = KernelForm(network) if precision == BEST else choose_kernel_form(network, job, toolkit)
        job, prepared, attempt = form.built or _build(job, toolkit, chosen)
        _judge(job, attempt, toolkit)
        conversion = _Conversion(
            model=model, network=form.network, prepared=prepared, job=job, attempt=attempt, kernel=form.text
        )
        bundle = conversion.bundle(toolkit)
    write_bundle(bundle, {each.file: attempt.files[each.samples].rknn for each in bundle.variants})
    return conversion.report(bundle, time.monotonic() - started)


def compare_precisions(
    model: Any,
    *,
    rows: Any,
    target_platform: str = "rk3588",
    batch_size: int | Sequence[int] = BATCH_SIZE,
    toolkit: Toolkit | str | None = None,
    options: ConversionOptions = ConversionOptions(),  # noqa: B008  # frozen
) -> PrecisionComparison:
    """Compare what a model comes to in float16, float16 pairs, int16 and int8.

    Parameters
    ----------
    rows : array-like, shape (n, n_features_in)
        Rows of X, 64 or more; a quarter is held out, on which labels or R2 are counted.
    model, target_platform, batch_size, toolkit, options
        As `convert` takes them; ``accuracy`` of the options is tried both ways.

    Returns
    -------
    PrecisionComparison

    Raises
    ------
    OptionError
        The host computes the model, or an argument has no such value.
    ExampleInputError
        There are too few rows, or they do not fit the model.
    UnsupportedModelError, NotFittedError, ToolkitError
        As from `convert`. What a single precision fails in is its row's text.
    """
    network = network_from_estimator(model)
    if not network.layers:
        raise OptionError(f"{network.estimator} is computed on the host, in float64: no precision to choose.")
    version = _version(toolkit)
    request = ConversionRequest(
        path="compared.rknn",
        target_platform=target_platform,
        precision=first_precision(version, target_platform),
        batch_sizes=batch_size,
        toolkit=version,
        options=options,
    )
    network, job = _read_rows(network, request, rows)
    require_held_out(job)
    with single_blas_thread(job.multiplications):
        check_own_predictions(model, network, rows)
        trials = try_candidates(job, _started(toolkit))
    return PrecisionComparison(
        network.estimator,
        request.target_platform,
        toolkit=version.version,
        batch_size=request.batch_sizes[0],
        candidates=tuple(trial.candidate for trial in trials),
    )


def _version(toolkit: Toolkit | str | None) -> ToolkitVersion:
    return toolkit_version(toolkit.version if isinstance(toolkit, Toolkit) else parse_choice(toolkit)[0])


def _started(toolkit: Toolkit | str | None) -> Toolkit:
    return toolkit if isinstance(toolkit, Toolkit) else shared_toolkit(toolkit)


def _read_rows(network: Network, request: ConversionRequest, example_input: Any) -> tuple[Network, Job]:
    """Return the network in the requested form, and the job with its rows."""
    request.require_room(network)
    network = request.place_head_and_form(network)
    rows, own = (
        None if each is None else validate_example_input(each, network, name)
        for name, each in (("example_input", example_input), ("check_input", request.options.check_input))
    )
    return network, make_job(network.without_host_steps(), rows, own, request)


def _prepare(job: Job, precision: str | None) -> Network | None:
    """Return the prepared network; None where the precision is to be chosen."""
    if precision != BEST:
        return job.network()
    require_held_out(job)
    return None


def _build(job: Job, toolkit: Toolkit, prepared: Network | None) -> tuple[Job, Network, Attempt]:
    """Build, and again with float16 pairs where the best promise is not kept."""
    if prepared is None:
        return choose_trial(try_candidates(job, toolkit))
    prepared, attempt = build_with_room(job, toolkit, prepared)
    if attempt.promise != attempt.promises[0] and job.can_be_paired(prepared):
        options = replace(job.request.options, accuracy="double")
        job = attrs.evolve(job, request=attrs.evolve(job.request, options=options))
        prepared = job.network()
        attempt = job.attempt(toolkit, prepared)
    return job, prepared, attempt


@attrs.frozen(eq=False, kw_only=True)
class _Conversion:
    """What was built of a model, from which bundle and report are made."""

    model: Any
    network: Network
    prepared: Network
    job: Job
    attempt: Attempt
    kernel: str

    def details(self, toolkit: Toolkit) -> dict[str, Any]:
        request, check, version = self.attempt.request, self.attempt.check, self.attempt.request.toolkit
        facts = ToolkitFacts(
            version=toolkit.version,
            **toolkit.environment.to_json(),
            target_platform=request.target_platform,
            model_format=version.model_format,
            oldest_runtime=version.oldest_runtime,
            oldest_driver=version.oldest_driver,
            config=request.toolkit_config(self.prepared),
            form=request.options.form,
        )
        details = {
            "toolkit": facts.to_json(),
            "placement": self.attempt.first_file.placement,
            "ranges": self.attempt.first_file.ranges,
            "check": check.to_json(),
            "source": source_details(self.model, self.network.weights_digest()),
        }
        if estimates := self.attempt.estimate_programs():
            details["estimate"] = estimates
        if not check.is_off and check.input != "random":
            details["promise"] = attrs.asdict(self.attempt.promise)
        return details

    def bundle(self, toolkit: Toolkit) -> Bundle:
        network, rows = self.prepared.with_host_steps_of(self.network), self.job.rows
        request, calibrated = self.attempt.request, None
        if rows is not None and not request.is_float16:
            calibrated = None if network.features else input_range(self.network, self.prepared, rows)
        return Bundle(
            path=request.path,
            **bundle_fields(network),
            channels=input_channels(network),
            precision=request.precision.value,
            variants=tuple(
                Variant(request.file_name(size), size, sha256_of_bytes(file.rknn), file.content_digest)
                for size, file in sorted(self.attempt.files.items())
            ),
            details=self.details(toolkit),
            form="conv" if network.form == "conv" else "matmul",
            input_range=calibrated,
            probe=self.attempt.check.probe,
            cpu=cpu_layers(self.network, self.prepared) if request.options.cpu_weights == "on" else None,
        )

    def report(self, bundle: Bundle, seconds: float) -> ConversionReport:
        network, attempt, request = self.network, self.attempt, self.attempt.request
        models = {request.file_name(size): len(file.rknn) for size, file in attempt.files.items()}
        others = {path.name: path.stat().st_size for path in bundle_files(bundle) if path.suffix == ".npz"}
        return ConversionReport(
            path=request.path,
            files={**models, **others},
            samples=request.batch_sizes,
            estimator=network.estimator,
            task=network.task,
            head=network.head,
            head_on_npu=network.head_on_npu,
            methods=tuple(responses_of(network)),
            form=network.form,
            widths=network.widths,
            precision=request.precision,
            accuracy="single" if self.prepared.parts == 1 else "double",
            activations=tuple(layer.activation for layer in self.prepared.layers),
            target_platform=request.target_platform,
            toolkit=ToolkitFacts.from_json(bundle.details["toolkit"]),
            placement=attempt.first_file.placement,
            ranges=bundle.details["ranges"],
            check=attempt.check,
            estimate=attempt.estimate_run(),
            break_even=None if bundle.cpu is None else break_even(bundle) or 0,
            full_cubes=attempt.full_cubes(),
            evidence=attempt.first_file.evidence,
            seconds=round(seconds, 3),
            kernel=self.kernel,
        )


def _judge(job: Job, attempt: Attempt, toolkit: Toolkit) -> None:
    """Refuse an attempt below its limits, or warn of it.

    Random rows are no ground to refuse, except by the bound, which is each row's own.
    """
    failed, deciding = attempt.failed_limit, attempt.check.deciding
    if not failed or deciding is None:
        return
    text = f"On the check's rows {failed} ({describe(deciding)})."
    if job.request.options.check == "on" and (job.rows is not None or attempt.check.is_beyond_bound):
        advice = advise(job.source, job.rows, job.better_precision(toolkit))
        raise CheckError("check", text, advice=f"{advice} Lower limits are set by min_labels and min_r2.")
    warnings.warn(
        f"{text} Give typical rows as example_input, scale X before fit, or take another precision.",
        CheckWarning,
        stacklevel=4,
    )
