"""From an estimator to a bundle on disk."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from typing import Any

import attrs
import sklearn

from scirknn.bundle import Variant, write_bundle
from scirknn.files import sha256_of_bytes
from sklearn2rknn.blas_threads import single_blas_thread
from sklearn2rknn.build import Attempt, Job, build_with_room, estimate_run, make_job
from sklearn2rknn.bundle_files import digest_of, make_bundle, model_file_name
from sklearn2rknn.checking.built_file_check import CHECKS, is_beyond_bound, last_word
from sklearn2rknn.errors import (
    CheckError,
    CheckWarning,
    ExampleInputWarning,
)
from sklearn2rknn.estimators.network_from_estimator import network_from_estimator
from sklearn2rknn.network.layer import ACTIVATION_FORMS
from sklearn2rknn.network.network import FORMS, Network
from sklearn2rknn.network.ranges import Floats
from sklearn2rknn.network.tensor_ranges import ranges_document
from sklearn2rknn.options import (
    HEADS,
    SAMPLES,
    check_choice,
    check_count,
    check_limit,
    package_version,
    place_head_and_form,
    read_options,
)
from sklearn2rknn.passes.prepare_network import ACCURACIES
from sklearn2rknn.passes.range_checks import FLOAT16_MAX
from sklearn2rknn.report import ConversionReport, describe
from sklearn2rknn.rows.calibration_rows import ROWS, input_range, warn_of_constant_columns
from sklearn2rknn.rows.example_input import validate_example_input
from sklearn2rknn.toolkit.toolkit import Toolkit, shared_toolkit

__all__ = ["convert"]


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
    options = read_options(
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
        calibration_rows=check_count("calibration_rows", calibration_rows, 1),
        calibration_seed=check_count("calibration_seed", calibration_seed, 0),
        accuracy=check_choice("accuracy", accuracy, ACCURACIES),
        activation=check_choice("activation", activation, ACTIVATION_FORMS),
        form=check_choice("form", form, FORMS),
        head=check_choice("head", head, HEADS),
        check=check_choice("check", check, CHECKS),
        min_labels=check_limit("min_labels", min_labels),
        min_r2=check_limit("min_r2", min_r2),
        allow_cpu=allow_cpu,
        timeout=timeout,
    )
    whole = place_head_and_form(whole, options)
    rows = None if example_input is None else validate_example_input(example_input, whole)
    own = None if check_input is None else validate_example_input(check_input, whole, "check_input")
    job = make_job(whole.within(), rows, own, options)
    with single_blas_thread(job.multiplications):
        if rows is not None and options.precision != "float16":
            assert job.rows is not None
            _warn_of_missing_classes(job.source, job.rows)
            warn_of_constant_columns(whole, job.rows)
        network = job.network()  # what is refused is refused before a toolkit is started
        if not isinstance(toolkit, Toolkit):
            toolkit = shared_toolkit(toolkit)
        network, attempt = build_with_room(job, toolkit, network)
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
            model_file_name(options, samples),
            samples,
            sha256_of_bytes(file.rknn),
            digest_of(file.content),
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
            "created_by": f"sklearn2rknn {package_version()}",
        },
    }
    if "held_out" in attempt.check and attempt.check["input"] != "random":
        details["promise"] = attrs.asdict(attempt.promise)
    files = {model_file_name(options, samples): file.rknn for samples, file in attempt.files.items()}
    write_bundle(make_bundle(whole.around(network), options, variants, details, held), files)
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
        estimate=estimate_run(attempt, options),
        seconds=round(time.monotonic() - started, 3),
    )


def _judge(job: Job, attempt: Attempt, toolkit: Toolkit) -> None:
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
