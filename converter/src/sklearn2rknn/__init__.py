"""Convert fitted scikit-learn models to ``.rknn`` bundles for Rockchip NPUs.

Each name but the errors is imported when it is first used, so that ``--help`` needs no scikit-learn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scirknn.lazy_names import lazy_names
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
    OptionError,
    RangeError,
    Sklearn2RknnError,
    ToolkitError,
    ToolkitNotInstallableError,
    UnsupportedModelError,
    UntrustedModelError,
)

if TYPE_CHECKING:
    from sklearn2rknn.candidates.comparison import PrecisionComparison
    from sklearn2rknn.conversion import compare_precisions, convert
    from sklearn2rknn.estimators.network_from_estimator import network_from_estimator
    from sklearn2rknn.network.layer import Layer
    from sklearn2rknn.network.network import Network
    from sklearn2rknn.network.onnx_graph import onnx_from_network
    from sklearn2rknn.network.precision import Precision
    from sklearn2rknn.not_fitted import NotFittedError
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
    "PrecisionComparison",
    "RangeError",
    "Sklearn2RknnError",
    "Toolkit",
    "ToolkitError",
    "ToolkitNotInstallableError",
    "UnsupportedModelError",
    "UntrustedModelError",
    "compare_precisions",
    "convert",
    "network_from_estimator",
    "onnx_from_network",
    "open_toolkit",
]

_HOMES = {
    "candidates.comparison": "PrecisionComparison",
    "conversion": "compare_precisions convert",
    "estimators.network_from_estimator": "network_from_estimator",
    "network.layer": "Layer",
    "network.network": "Network",
    "network.onnx_graph": "onnx_from_network",
    "network.precision": "Precision",
    "not_fitted": "NotFittedError",
    "options": "ConversionOptions",
    "report": "ConversionReport",
    "toolkit.toolkit": "Built Toolkit open_toolkit",
}
"""The names that each module gives."""

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
