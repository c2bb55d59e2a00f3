"""The options of a conversion, checked."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from scirknn.bundle import file_of_another
from scirknn.bundle.limits import LARGEST_RUN, MOST_CHANNELS, MOST_COLUMNS, MOST_VARIANTS
from scirknn.bundle.metadata import is_bare_name
from sklearn2rknn.errors import OptionError
from sklearn2rknn.network.network import FORMS, SOFTMAX_OPSET, Network
from sklearn2rknn.network.precision import Precision
from sklearn2rknn.tolerances import Promise, Requirement
from sklearn2rknn.toolkit.pins.versions import ToolkitVersion

BATCH_SIZE = 64
"""Default batch size: but for wide inputs, a call of 64 rows is estimated to cost hardly more than one of a
single row (the table in converter/README.md)."""

LARGEST_BATCH_SIZE = 2047
"""Most rows of a run. Rows are lines of the input, whose height has 11 bits in the RK3588's registers (TRM
and Mesa). The toolkits write larger heights too, 2.3.2 and 2.5.0 up to 5,632; no board has answered whether
it holds them. Rows on the width are cut at 2,047 by the toolkits themselves, and then take as many tasks as
several runs."""

CALIBRATION_ROWS = 256
"""Default: with the extreme rows among them, more change nothing (converter/ACCURACY.md)."""


def _option(default: Any, text: str, check: Callable[[str, Any], None], choices: Sequence[str] = ()) -> Any:
    return field(default=default, metadata={"help": text, "check": check, "choices": choices})


def _choice(text: str, *choices: str) -> Any:
    """Return an option that is one of some words, the first by default."""
    return _option(choices[0], text, lambda name, value: _check_choice(name, value, choices), choices)


def _check_choice(name: str, value: Any, choices: Sequence[str], others: str = "") -> None:
    if not isinstance(value, str) or value not in choices:
        raise OptionError(f"{name} is {value!r:.60}; it can be {', '.join(choices)}{others}.")


def _count(default: int, text: str, least: int) -> Any:
    def check(name: str, value: Any) -> None:
        if not _is_integer(value) or value < least:
            raise OptionError(f"{name} is {value!r:.60}; it can be an integer from {least} on.")

    return _option(default, text, check)


def _limit(text: str) -> Any:
    def check(name: str, value: Any) -> None:
        is_number = isinstance(value, (int, float, np.number))
        if value is not None and not (is_number and -np.inf < value <= 1):
            raise OptionError(f"{name} is {value!r:.60}; it can be a number up to 1.")

    return _option(None, text, check)


def _check_flag(name: str, value: Any) -> None:
    if not isinstance(value, (bool, np.bool_)):
        raise OptionError(f"{name} is {value!r:.60}; it can be True or False.")


def _check_seconds(name: str, value: Any) -> None:
    if not isinstance(value, (int, float, np.number)) or not value > 0:
        raise OptionError(f"{name} is {value!r:.60}; it can be a number of seconds above 0.")


def _is_integer(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))


@dataclass(frozen=True, kw_only=True)
class ConversionOptions:
    """Set what few conversions need to set.

    Attributes
    ----------
    check_input : array-like, shape (n, n_features_in), optional
        Other rows of X, on which the file is checked. By default a quarter of the example input is held out
        for it, at least 32 rows and at most 512, where at least as many remain.
    quantized_algorithm : {"normal", "mmse", "kl_divergence"}
        How the toolkit finds ranges.
    quantized_method : {"channel", "layer"}
        Whether weights have a scale per output channel or per layer.
    calibration_rows, calibration_seed : int
        How many rows of the example input integers take their ranges from, the extreme ones always among
        them, and the seed with which the others are drawn. Time grows with them, most of all for a small
        batch size and ``"mmse"``.
    accuracy : {"auto", "single", "double"}
        Of float16 with relu or identity: each value between layers as one float16 number or as a float16
        pair, which makes the result as exact as float32 for one layer more per hidden layer, of three times
        the width. ``"auto"`` takes pairs where single numbers would not keep the promise
        (`sklearn2rknn.tolerances`).
    output_pairs : {"repeated", "added"}
        How wide outputs become float16 pairs. ``"added"`` takes down to a seventh of the weights and less
        time, on an RK3588 with toolkits from 2.2.0 on, but counts on a sum that is rounded after it was
        added to, not before: the register program says so, the vendor's simulator computes the other, and no
        board was asked. If the simulator is right, answers are as exact as single numbers.
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
        The built file is run in the vendor's simulator and on the virtual NPU, whose comparison decides.
        Below the limits nothing is written; with ``"warn"`` it is, and without example input too, since
        random rows say little. ``"off"`` runs nothing, and the bundle says so.
    min_labels, min_r2 : float, optional
        What the check requires in place of `sklearn2rknn.tolerances`: share of labels away from ties that
        equal scikit-learn's, where probabilities are not held to anything then, and R2 of a regressor's worst
        output. By default 0.999 and 0.9997, for int8 0.99 and 0.985.
    cpu_weights : {"on", "off"}
        Write the estimator's weights to ``NAME.npz`` too, 4 bytes each, by which `scirknn` computes the model
        in numpy (``device="cpu"``), or where that is faster (``"auto"``).
    allow_cpu : bool
        Accept layers that the toolkit places on the CPU.
    timeout : float
        Seconds that the toolkit may take for each file.

    Raises
    ------
    OptionError
        An option has no such value.
    """

    check_input: Any = field(default=None, repr=False, compare=False)
    quantized_algorithm: str = _choice("How the toolkit finds ranges.", "normal", "mmse", "kl_divergence")
    quantized_method: str = _choice("One scale of weights for each of these.", "channel", "layer")
    calibration_rows: int = _count(CALIBRATION_ROWS, "Rows that integers take their ranges from.", 1)
    calibration_seed: int = _count(0, "Seed with which these rows are drawn.", 0)
    accuracy: str = _choice(
        "float16 numbers for each value between layers of relu or identity.", "auto", "single", "double"
    )
    output_pairs: str = _choice("Form of wide outputs in pairs; added: fewer weights.", "repeated", "added")
    activation: str = _choice("Form of tanh and logistic in float16.", "refined", "plain")
    form: str = _choice("Operators of the graph; all but conv are for comparison.", *FORMS)
    head: str = _choice("Where softmax or the logistic function is evaluated.", "host", "npu")
    check: str = _choice("Run the built file, and refuse or warn below the limits.", "on", "warn", "off")
    min_labels: float | None = _limit("Least share of equal labels (0.999; 0.99 for int8).")
    min_r2: float | None = _limit("Least R2 of a regressor (0.9997; 0.985 for int8).")
    cpu_weights: str = _choice("Write NAME.npz too, for device='cpu' and 'auto'.", "on", "off")
    allow_cpu: bool = _option(False, "Accept layers that the toolkit places on the CPU.", _check_flag)
    timeout: float = _option(300.0, "Seconds for each file.", _check_seconds)

    def __post_init__(self) -> None:
        for option in fields(self):
            if option.metadata:
                option.metadata["check"](option.name, getattr(self, option.name))

    def require(self, promise: Promise) -> Requirement:
        """Return what the check asks for, so that a promise is kept."""
        required, least = promise.for_check(), self.min_labels
        if least is not None:
            required = attrs.evolve(required, labels=least, expected_labels=least, probability=None)
        return required if self.min_r2 is None else attrs.evolve(required, r2=self.min_r2)


@functools.cache
def _installed(distribution: str) -> str:
    """Return a distribution's version, which takes milliseconds to find."""
    return distribution_version(distribution)


def package_version() -> str:
    """Return the version of sklearn2rknn."""
    return _installed("sklearn2rknn")


def source_details(model: Any, weights_digest: str) -> dict[str, str]:
    """Return what a bundle records of the estimator it was made from."""
    return {
        "estimator": f"{type(model).__module__}.{type(model).__qualname__}",
        "sklearn": _installed("scikit-learn"),
        "weights_digest": weights_digest,
        "created_by": f"sklearn2rknn {package_version()}",
    }


def choose_precision(precision: str | None, quantization: bool) -> str:
    """Return the precision that two arguments of `convert` ask for."""
    if quantization and precision == Precision.FLOAT16:
        raise OptionError(
            "quantization=True and precision='float16' contradict each other. Drop one of them."
        )
    return precision or (Precision.INT8 if quantization else Precision.FLOAT16)


def check_path(path: Path, names: Sequence[str]) -> None:
    """Refuse a path where these files of a bundle cannot be written (OptionError)."""
    if path.suffix != ".rknn":
        raise OptionError(f"The path is {os.fspath(path)!r}; a model file's name ends in .rknn.")
    for name in (*names, f"{path.name}.json"):
        if not is_bare_name(name):
            raise OptionError(
                f"A file of the bundle would be named {name[:20]!r}... ({len(name)} characters); a name "
                "has at most 255 bytes and no control characters. Choose another."
            )
    if not path.parent.is_dir():
        raise OptionError(f"There is no folder {path.parent}. Make it first.")
    if not os.access(os.path.dirname(os.path.realpath(path)), os.W_OK | os.X_OK):
        raise OptionError(f"This user may not write to the folder of {path}. Choose another.")
    if path.is_dir():
        raise OptionError(f"{path} is a folder. Give the path of a file.")
    if taken := file_of_another(path, names):
        raise OptionError(
            f"{taken[0]} belongs to the bundle {taken[1]} in {path.parent}, which would be broken. "
            "Choose another name, or another folder."
        )


def _to_precision(value: Any) -> Precision:
    _check_choice("precision", value, [each.value for each in Precision], " or best")
    return Precision(value)


def _to_batch_sizes(batch_size: Any) -> tuple[int, ...]:
    sizes = list(batch_size) if isinstance(batch_size, (Sequence, np.ndarray)) else [batch_size]
    for size in sizes:
        if not _is_integer(size):
            raise OptionError(f"batch_size holds {size!r:.60}; it takes integers.")
        if not 1 <= size <= LARGEST_BATCH_SIZE:
            raise OptionError(
                f"batch_size holds {size}; it can be 1 to {LARGEST_BATCH_SIZE}, the lines of an input that "
                "the NPU's registers hold. The runtime cuts any number of rows into runs."
            )
    if len(sizes) > MOST_VARIANTS:
        raise OptionError(f"batch_size holds {len(sizes)} sizes; a bundle has at most {MOST_VARIANTS}.")
    if not sizes or len(set(sizes)) != len(sizes):
        raise OptionError(f"batch_size is {batch_size!r:.60}; give one number or several different ones.")
    return tuple(int(size) for size in sizes)


def _to_lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


@attrs.frozen(kw_only=True)
class ConversionRequest:
    """What `convert` was asked for, found possible with its toolkit, or refused (OptionError).

    Attributes
    ----------
    path : pathlib.Path
    target_platform : str
    precision : Precision
    batch_sizes : tuple of int
    toolkit : ToolkitVersion
    options : ConversionOptions
    """

    path: Path = attrs.field(converter=Path)
    target_platform: str = attrs.field(converter=_to_lower)
    precision: Precision = attrs.field(converter=_to_precision)
    batch_sizes: tuple[int, ...] = attrs.field(converter=_to_batch_sizes)
    toolkit: ToolkitVersion
    options: ConversionOptions

    def __attrs_post_init__(self) -> None:
        platform, toolkit = self.target_platform, self.toolkit
        check_path(self.path, [self.file_name(size) for size in self.batch_sizes])
        _check_choice(
            "precision", self.precision, [each.value for each in Precision if each in toolkit.config]
        )
        _check_choice("target_platform", platform, toolkit.target_platforms)
        if self.is_float16 and platform in toolkit.integer_only_platforms:
            raise OptionError(
                f"{platform} computes in integers only. Pass quantization=True and example_input."
            )

    @property
    def is_float16(self) -> bool:
        """Whether the file is to compute in float16, not in integers."""
        return self.precision is Precision.FLOAT16

    def file_name(self, batch_size: int) -> str:
        """Return the name of the model file of a batch size."""
        is_first = batch_size == self.batch_sizes[0]
        return self.path.name if is_first else f"{self.path.stem}.n{batch_size}.rknn"

    def toolkit_config(self, network: Network) -> dict[str, Any]:
        """Return the arguments of the toolkit's ``config``."""
        options = self.options
        integers = {} if self.is_float16 else {
            "quantized_algorithm": options.quantized_algorithm, "quantized_method": options.quantized_method
        }  # fmt: skip
        return {
            "target_platform": self.target_platform,
            "custom_string": f"sklearn2rknn {package_version()}; weights sha256 {network.weights_digest()}",
            **self.toolkit.config[self.precision],
            **integers,
        }

    def require_room(self, network: Network) -> None:
        """Refuse a network that is larger than any bundle (OptionError)."""
        inputs, outputs = len(network.layers[0].weights), network.n_outputs
        for count, most, what in (
            (network.n_features_in, MOST_COLUMNS, "features"),
            (outputs, MOST_COLUMNS, "outputs"),
            (inputs, MOST_CHANNELS, "columns behind its encoders"),
        ):
            if count > most:
                raise OptionError(
                    f"The {network.estimator} has {count} {what}, and a bundle at most {most}. Fit a smaller "
                    "one, for example behind a feature selection or PCA."
                )
        width, largest = max(inputs, outputs), max(self.batch_sizes)
        if width * largest > LARGEST_RUN:
            raise OptionError(
                f"batch_size holds {largest}: {largest} rows of {width} values are more than a run of a "
                f"bundle has ({LARGEST_RUN}). Take at most {LARGEST_RUN // width}."
            )

    def place_head_and_form(self, network: Network) -> Network:
        """Return a network in the requested form, its output activation where requested.

        Raises
        ------
        OptionError
            The output activation cannot be evaluated on the NPU.
        """
        network = attrs.evolve(network, form=self.options.form)
        if self.options.head == "host" or network.head == "identity":
            return network
        if network.epilogue or network.responses is not None:
            raise OptionError(
                f"The methods of {network.estimator} start from what is before its output activation, which "
                "cannot be evaluated on the NPU then. Drop head."
            )
        if network.head == "exp":
            raise OptionError(
                f"{network.estimator}'s output activation 'exp' cannot be evaluated on the NPU. Drop head."
            )
        toolkit = self.toolkit
        if network.head == "softmax":
            if toolkit.opset_ceiling < SOFTMAX_OPSET:
                raise OptionError(
                    f"Toolkit {toolkit.version} reads ONNX up to opset {toolkit.opset_ceiling}, whose "
                    "softmax is taken over all rows of a run. Drop head='npu' or take another toolkit."
                )
            if self.target_platform in toolkit.softmax_cpu_platforms and not self.options.allow_cpu:
                raise OptionError(
                    f"Toolkit {toolkit.version} places softmax on the CPU of {self.target_platform}. Drop "
                    "head='npu', since the host's CPU evaluates it anyway, or pass allow_cpu=True."
                )
        return attrs.evolve(network, head_on_npu=True)
