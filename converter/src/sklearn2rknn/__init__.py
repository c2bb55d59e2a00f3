"""Convert fitted scikit-learn models to ``.rknn`` bundles for Rockchip NPUs."""

from __future__ import annotations

from sklearn2rknn.conversion import convert
from sklearn2rknn.errors import (
    CheckError,
    CheckWarning,
    ConversionError,
    CpuFallbackError,
    EngineError,
    ExampleInputError,
    ExampleInputWarning,
    LimitError,
    ModelFileError,
    NotFittedError,
    OptionError,
    RangeError,
    Sklearn2RknnError,
    ToolkitError,
    ToolkitNotInstallableError,
    UnsupportedModelError,
    UntrustedModelError,
)
from sklearn2rknn.estimators.network_from_estimator import network_from_estimator
from sklearn2rknn.network.layer import Layer
from sklearn2rknn.network.network import Network
from sklearn2rknn.network.onnx_graph import onnx_from_network
from sklearn2rknn.network.precision import Precision
from sklearn2rknn.options import ConversionOptions
from sklearn2rknn.report import ConversionReport
from sklearn2rknn.toolkit.toolkit import Built, Toolkit, open_toolkit

__all__ = [
    "Built",
    "CheckError",
    "CheckWarning",
    "ConversionError",
    "ConversionOptions",
    "ConversionReport",
    "CpuFallbackError",
    "EngineError",
    "ExampleInputError",
    "ExampleInputWarning",
    "Layer",
    "LimitError",
    "ModelFileError",
    "Network",
    "NotFittedError",
    "OptionError",
    "Precision",
    "RangeError",
    "Sklearn2RknnError",
    "Toolkit",
    "ToolkitError",
    "ToolkitNotInstallableError",
    "UnsupportedModelError",
    "UntrustedModelError",
    "convert",
    "network_from_estimator",
    "onnx_from_network",
    "open_toolkit",
]
