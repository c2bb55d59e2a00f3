"""What a bundle holds."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Iterator, Mapping, NoReturn, Union

import numpy as np

from scirknn.answers import TASKS, Responses, takes_rows
from scirknn.arrays import Array, Float32Array, Floats
from scirknn.bundle.arrays_file import arrays_path, read_beside
from scirknn.bundle.columns import Columns
from scirknn.bundle.input_range import InputRange
from scirknn.errors import BundleFormatError
from scirknn.probe_rows import ProbeRows
from scirknn.steps.activations import HEADS
from scirknn.steps.members import accept_missing
from scirknn.steps.step import Step, apply_in_front

__all__ = [
    "FORMS",
    "HEADS",
    "HOST_PRECISION",
    "PARTS",
    "PRECISIONS",
    "TASKS",
    "Affine",
    "Bundle",
    "CpuLayer",
    "CpuPart",
    "Owner",
    "Variant",
    "apply_affine",
    "metadata_path",
]

PARTS = (1, 3)
"""Channels that a feature may take: one float16 number, or its high, its low and again its high part."""

PRECISIONS = ("float16", "int8", "int16")
HOST_PRECISION = "float64"
"""That of a model without a file for the NPU."""

FORMS = ("conv", "matmul")

PathLike = Union[str, "os.PathLike[str]"]


@dataclass(frozen=True)
class Affine:
    """The map ``(v - offset) * scale`` per column, done on the host.

    Attributes
    ----------
    offset, scale : numpy.ndarray of float64, shape (n_columns,)
    """

    offset: Floats
    scale: Floats

    def to_json(self) -> dict[str, list[float]]:
        """Return the map as JSON takes it."""
        return {"offset": self.offset.tolist(), "scale": self.scale.tolist()}


def apply_affine(affine: Affine | None, values: Array) -> Array:
    """Map values, shape (n, n_columns); without a map they are returned as they are."""
    return values if affine is None else (values - affine.offset) * affine.scale


@dataclass(frozen=True)
class Variant:
    """One model file of the bundle.

    Attributes
    ----------
    file : str
        The file's bare name; it lies beside the metadata.
    samples : int
        Rows that one run takes (N).
    sha256 : str
        Digest of the file's bytes, which guards its transport.
    content_digest : str
        Digest of the parsed content, which identifies the model: a file holds uninitialised bytes too.
    """

    file: str
    samples: int
    sha256: str
    content_digest: str = ""


@dataclass(frozen=True, eq=False)
class CpuLayer:
    """A dense layer, ``activation(h @ weights + bias)``.

    Attributes
    ----------
    weights : numpy.ndarray of float32, shape (n_in, n_out)
    bias : numpy.ndarray of float32, shape (n_out,)
    activation : {"identity", "logistic", "tanh", "relu", "softmax"}
    """

    weights: Float32Array
    bias: Float32Array
    activation: str


@dataclass(frozen=True, eq=False)
class CpuPart:
    """The network as the host computes it, from the inputs in front of any float16 pairs to the outputs.

    Attributes
    ----------
    widths : tuple of int
        Of the input and of each layer's output.
    activations : tuple of str
        One for each layer.
    layers : tuple of CpuLayer
        None of them where they are read from the bundle's file of arrays.
    path : pathlib.Path or None
        The bundle's.
    sha256 : str
        That of the file of arrays.
    """

    widths: tuple[int, ...]
    activations: tuple[str, ...]
    layers: tuple[CpuLayer, ...] = ()
    path: Path | None = None
    sha256: str = ""

    @classmethod
    def of(cls, layers: tuple[CpuLayer, ...]) -> CpuPart:
        """Return the part that holds these layers."""
        widths = (len(layers[0].weights), *(len(layer.bias) for layer in layers))
        return cls(widths, tuple(layer.activation for layer in layers), layers)

    def read(self) -> tuple[CpuLayer, ...]:
        """Return the layers.

        Raises
        ------
        BundleNotFoundError, DigestError, BundleFormatError
            The file is missing, another or damaged.
        """
        if self.path is None:
            return self.layers
        entry = {"file": arrays_path(self.path).name, "sha256": self.sha256}
        arrays = read_beside(self.path, entry, self._fail)
        return tuple(self._layer(place, arrays) for place in range(len(self.activations)))

    def _layer(self, place: int, arrays: Mapping[str, Array]) -> CpuLayer:
        weights, bias = (arrays.get(f"cpu.{place}.{name}") for name in ("weights", "bias"))
        width = self.widths[place + 1]
        if weights is None or bias is None:
            self._fail(f"layer {place} is missing")
        if (weights.shape, bias.shape) != ((self.widths[place], width), (width,)):
            self._fail(f"layer {place} has shapes {weights.shape} and {bias.shape}")
        if {weights.dtype, bias.dtype} != {np.dtype("<f4")}:
            self._fail(f"layer {place} is of {weights.dtype} and {bias.dtype}")
        return CpuLayer(weights, bias, self.activations[place])

    def _fail(self, why: str) -> NoReturn:
        name = "" if self.path is None else self.path.name
        raise BundleFormatError(f"{name} cannot be computed on the CPU: {why}. Convert the model again.")


@dataclass(frozen=True)
class Owner:
    """What was converted, as scikit-learn's text of a missing method names it.

    Attributes
    ----------
    name : str
        Class of the pipeline or search around the estimator; without one, the estimator's.
    lacking : tuple of str
        Missing methods that the class has for other parameters, or another estimator inside.
    """

    name: str
    lacking: tuple[str, ...]

    def text_of(self, method: str) -> str:
        """Return scikit-learn's text of a missing method."""
        if method in self.lacking:
            return f"This {self.name!r} has no attribute {method!r}"
        return f"{self.name!r} object has no attribute {method!r}"


@dataclass(frozen=True)
class Bundle:
    """What a bundle's metadata says.

    Attributes
    ----------
    path : pathlib.Path
        The first model file.
    task : {"classifier", "multilabel", "regressor", "transformer", "clusterer", "outlier"}
    estimator : str
        scikit-learn's class name, used in error texts as scikit-learn uses it.
    classes : numpy.ndarray or None
        ``classes_`` of a classifier, the labels of a clusterer's clusters, or -1 and 1 of an outlier
        detector, with scikit-learn's dtype. Of shape (n_targets, 2) where ``classes_`` is a list of two
        labels for each target.
    n_features_in, n_outputs : int
        Columns of X, and of the network's output before the head.
    feature_names : tuple of str or None
    single_output : bool
        A regressor whose predictions have shape ``(n,)``.
    dtype : str
        dtype of the estimator's weights, ``"float64"`` or ``"float32"``: scikit-learn's results follow it.
    head : {"softmax", "logistic", "identity", "exp"}
        The output activation, evaluated on the host.
    channels : int
        Width of the model's input: `parts` for each input behind `features`, and zeros up to a multiple of 8.
    input : Affine or None
        Applied to X, or to what `columns` makes of it, before it is cast.
    features : tuple of Step
        Applied behind `input`, and `scale`, an Affine or None, behind them.
    output : Affine or None
        Maps the network's raw output to the estimator's: ``(v - offset) * scale``.
    precision : {"float16", "int8", "int16", "float64"}
        float64 where the host computes all.
    variants : tuple of Variant
        In ascending order of ``samples``; none where the host computes all.
    details : dict
        What is shown and not computed with: toolkit, placement, check, source.
    parts : {1, 3}
        Channels of each feature. With 3 of them the first columns are the features rounded to float16, then
        comes what that takes away, then the first ones again: the model computes with 22 bits.
    output_parts : {1, 2}
        Columns of the model for each output. With 2 of them the second half is to be added to the first: what
        float16 took away from it.
    high_negated : bool
        Of two columns for each output the first half is negative, and to be subtracted from the second.
    columns : Columns or None
        How the network's inputs come from the columns of X; None: they are the columns of X.
    first_step : str or None
        Class name of what meets X first in a pipeline; None: the estimator.
    form : {"conv", "matmul"}
        The shape of the model's input: ``[1, C, N, 1]``, or ``[N, C]``; of its output likewise.
    head_on_npu : bool
        The model applies the head itself: its output is what the head gives.
    input_range : InputRange or None
        What int8 and int16 were calibrated for; None: not known, or float16, which cuts nothing off.
    epilogue : tuple of Step
        What the host computes of the network's outputs, before the head: see `scirknn.answers`.
    responses : mapping of str to tuple of Step, or None
        The methods that the estimator has, each with its own steps; None: those of the task.
    score : str or None
        What `score` measures, see `scirknn.estimators.scores`; None: the task's.
    owner : Owner or None
        None: the estimator, whose class has the methods that it has.
    probe : ProbeRows or None
        Rows and answers by which a runtime is verified where it is used; None: it holds none.
    cpu : CpuPart or None
        By which the host can compute the network too; None: it cannot.
    """

    path: Path
    task: str
    estimator: str
    classes: Array | None
    n_features_in: int
    n_outputs: int
    feature_names: tuple[str, ...] | None
    single_output: bool
    dtype: str
    head: str
    channels: int
    input: Affine | None
    output: Affine | None
    precision: str
    variants: tuple[Variant, ...]
    details: Mapping[str, Any]
    parts: int = 1
    output_parts: int = 1
    high_negated: bool = False
    columns: Columns | None = None
    first_step: str | None = None
    form: str = "conv"
    head_on_npu: bool = False
    input_range: InputRange | None = None
    features: tuple[Step, ...] = ()
    scale: Affine | None = None
    epilogue: tuple[Step, ...] = ()
    responses: Responses | None = None
    score: str | None = None
    owner: Owner | None = None
    probe: ProbeRows | None = None
    cpu: CpuPart | None = None

    @property
    def n_inputs(self) -> int:
        """Columns in front of the features: those of X, or of what `columns` makes of it."""
        return self.n_features_in if self.columns is None else len(self.columns.inputs)

    @property
    def on_host(self) -> bool:
        """Whether the host computes all of it: there is no model file for an NPU."""
        return not self.variants

    @cached_property
    def accepts_missing(self) -> bool:
        """Whether NaN in X means something to the model itself."""
        return self.on_host and accept_missing(self.epilogue)

    @property
    def takes_rows(self) -> bool:
        """Whether a step behind the network takes the network's inputs too."""
        return takes_rows(self)

    @property
    def maps_apart(self) -> bool:
        """Whether `scale`, not `input`, is the map in front of the layers."""
        return bool(self.features) or self.takes_rows

    def take(self, X: Array) -> Array:
        """Take the inputs, shape (n, n_inputs), from X: by `columns`, where there are some."""
        return X if self.columns is None else self.columns.take(X, self.estimator)

    def expand(self, X: Array) -> Array:
        """Compute the inputs of the network in front of `scale`, for rows of shape (n, n_inputs)."""
        # In X's own precision: float32 would round a large offset's feature before subtracting it.
        X = apply_affine(self.input, X)
        return apply_in_front(self.features, X) if self.features else X

    def network_input(self, X: Array) -> Array:
        """Compute the network's input for rows of X, shape (n, n_inputs), before it is cast or split."""
        return apply_affine(self.scale, self.expand(X))

    def prepare(self, X: Array) -> Array:
        """Compute the model file's input for rows of X, before it is cast and padded.

        X has shape (n, n_inputs), the result as many columns for each input and part.
        """
        X = self.network_input(X)
        if self.parts == 1:
            return X
        with np.errstate(over="ignore"):
            high = X.astype(np.float16).astype(X.dtype)
        high = np.where(np.isfinite(high), high, X)  # for the model to overflow, which is reported
        return np.concatenate([high, X - high, high], axis=1)

    def join(self, answer: Array) -> Array:
        """Add the parts of an answer (n, n_outputs * output_parts) to (n, n_outputs)."""
        if self.output_parts == 1:
            return answer
        high, low = answer[:, : self.n_outputs].astype(np.float64), answer[:, self.n_outputs :]
        return low - high if self.high_negated else high + low

    def finish(self, answer: Array) -> Floats:
        """Map an answer of the model, as `join` takes it, to the estimator's outputs (n, n_outputs)."""
        return apply_affine(self.output, np.asarray(self.join(answer), np.float64))

    def files(self) -> Iterator[tuple[Variant, Path]]:
        """Yield each variant with the path of its file."""
        for variant in self.variants:
            yield variant, self.path.parent / variant.file


def metadata_path(path: PathLike) -> Path:
    """Return the path of a model file's metadata: ``NAME.rknn.json`` of ``NAME.rknn``."""
    return Path(os.fspath(path) + ".json")
