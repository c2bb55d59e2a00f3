"""Put a built network's files and metadata into a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import virtual_npu
from scirknn.bundle import Bundle, Variant
from scirknn.bundle.input_range import InputRange
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.onnx_graph import input_channels
from sklearn2rknn.options import Options
from virtual_npu import RknnFile


def digest_of(file: RknnFile | str) -> str:
    """Return a file's content digest; empty where its format is not known."""
    return "" if isinstance(file, str) else virtual_npu.content_digest(file)


def model_file_name(options: Options, samples: int) -> str:
    """Return the name of the file for a batch size."""
    if samples == options.samples[0]:
        return options.path.name
    return f"{options.path.stem}.n{samples}.rknn"


def make_bundle(
    network: Network,
    options: Options,
    variants: tuple[Variant, ...],
    details: Mapping[str, Any],
    held: InputRange | None,
) -> Bundle:
    """Return what was built as a `Bundle`."""
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
