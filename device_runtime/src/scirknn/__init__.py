"""Run converted scikit-learn models on a Rockchip NPU, as scikit-learn runs them.

>>> import scirknn
>>> clf = scirknn.MLPClassifier("iris.rknn")  # doctest: +SKIP
>>> clf.predict([[5.1, 3.5, 1.4, 0.2]])  # doctest: +SKIP
array([0])

Each name but the errors is imported when it is first used, so that ``--help`` answers at once.
"""

from typing import TYPE_CHECKING

try:
    import numpy as _numpy  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"scirknn needs numpy ({error}): sudo apt install python3-numpy") from None

from scirknn.errors import (
    BundleError,
    BundleFormatError,
    BundleNotFoundError,
    CompatibilityError,
    DeviceError,
    DigestError,
    InputError,
    InputRangeError,
    InputRangeWarning,
    NativeError,
    OutputRangeError,
    ScirknnError,
)
from scirknn.lazy_names import lazy_names

if TYPE_CHECKING:
    from scirknn.bundle.contents import Bundle
    from scirknn.bundle.files import read_bundle
    from scirknn.bundle.input_range import InputRange
    from scirknn.devices.runtimes import Runtime
    from scirknn.estimators.classifier import Classifier, MLPClassifier
    from scirknn.estimators.load import load
    from scirknn.estimators.range_watch import InputRangeCounts
    from scirknn.estimators.regressor import MLPRegressor, Regressor
    from scirknn.estimators.unsupervised import Clusterer, OutlierDetector, Transformer

__all__ = [
    "Bundle",
    "BundleError",
    "BundleFormatError",
    "BundleNotFoundError",
    "Classifier",
    "Clusterer",
    "CompatibilityError",
    "DeviceError",
    "DigestError",
    "InputError",
    "InputRange",
    "InputRangeCounts",
    "InputRangeError",
    "InputRangeWarning",
    "MLPClassifier",
    "MLPRegressor",
    "NativeError",
    "OutlierDetector",
    "OutputRangeError",
    "Regressor",
    "Runtime",
    "ScirknnError",
    "Transformer",
    "__version__",
    "load",
    "read_bundle",
]

__version__ = "0.3.0"

_HOMES = {
    "bundle.contents": "Bundle",
    "bundle.files": "read_bundle",
    "bundle.input_range": "InputRange",
    "devices.runtimes": "Runtime",
    "estimators.classifier": "Classifier MLPClassifier",
    "estimators.load": "load",
    "estimators.range_watch": "InputRangeCounts",
    "estimators.regressor": "MLPRegressor Regressor",
    "estimators.unsupervised": "Clusterer OutlierDetector Transformer",
}
"""The names that each module gives."""

__getattr__ = lazy_names(__name__, _HOMES)


def __dir__() -> "list[str]":
    return sorted({*globals(), *__all__})
