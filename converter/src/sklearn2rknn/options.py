"""The options of a conversion, read and checked."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from importlib.metadata import version as distribution_version
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from scirknn.bundle.contents import PRECISIONS
from sklearn2rknn.errors import (
    OptionError,
)
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.onnx_graph import SOFTMAX_OPSET
from sklearn2rknn.rows.calibration_rows import ROWS
from sklearn2rknn.tolerances import Promise, Requirement
from sklearn2rknn.toolkit.environment_choice import parse_choice
from sklearn2rknn.toolkit.pins.versions import ToolkitVersion, toolkit_version
from sklearn2rknn.toolkit.toolkit import Toolkit

SAMPLES = 64
"""Rows per run, by default: a run of 64 is estimated to cost hardly more than one of a single row, and a row
in it a fiftieth (the table in converter/README.md)."""

BATCH_LIMIT = 16384
"""Rows per run that conversions were measured up to; beyond it the toolkit takes minutes."""

ALGORITHMS = ("normal", "mmse", "kl_divergence")
METHODS = ("channel", "layer")

HEADS = ("host", "npu")
"""Where the output activation is evaluated."""


@attrs.frozen
class Options:
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
            "custom_string": f"sklearn2rknn {package_version()}; weights sha256 {network.weights_digest()}",
            **self.entry.config[self.precision],
            **quantized,
        }


def check_limit(name: str, value: float | None) -> float | None:
    """Return a limit that is a number up to 1, or None; else raise OptionError."""
    if value is not None and not -np.inf < value <= 1:
        raise OptionError(f"{name} is {value!r:.60}; it can be a number up to 1.")
    return value


@functools.cache
def package_version() -> str:
    """Return the version of sklearn2rknn."""
    return distribution_version("sklearn2rknn")


def check_choice(name: str, value: Any, choices: Sequence[str]) -> str:
    """Return a value that is one of `choices`, or raise OptionError."""
    if value not in choices:
        raise OptionError(f"{name} is {value!r:.60}; it can be {', '.join(choices)}.")
    return str(value)


def read_options(
    path: str | os.PathLike[str],
    target_platform: str,
    quantization: bool,
    precision: str | None,
    batch_size: int | Sequence[int],
    toolkit: Toolkit | str | None,
    algorithm: str,
    method: str,
) -> Options:
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
    check_choice("precision", wanted, [name for name in PRECISIONS if name in entry.config])
    if quantization and wanted == "float16":
        raise OptionError(
            "quantization=True and precision='float16' contradict each other. Drop one of them."
        )
    platform = target_platform.lower() if isinstance(target_platform, str) else target_platform
    check_choice("target_platform", platform, entry.target_platforms)
    if wanted == "float16" and platform in entry.integer_only_platforms:
        raise OptionError(f"{platform} computes in integers only. Pass quantization=True and example_input.")
    return Options(
        path=target,
        entry=entry,
        target_platform=platform,
        precision=wanted,
        samples=_samples(batch_size),
        algorithm=check_choice("quantized_algorithm", algorithm, ALGORITHMS),
        method=check_choice("quantized_method", method, METHODS),
    )


def place_head_and_form(whole: Network, options: Options) -> Network:
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


def check_count(name: str, value: Any, least: int) -> int:
    """Return a number of at least `least`, or raise OptionError."""
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
