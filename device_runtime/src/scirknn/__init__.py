"""Run converted scikit-learn models on a Rockchip NPU, as scikit-learn runs them.

>>> import scirknn
>>> clf = scirknn.MLPClassifier("iris.rknn")  # doctest: +SKIP
>>> clf.predict([[5.1, 3.5, 1.4, 0.2]])  # doctest: +SKIP
array([0])
"""

try:
    import numpy as _numpy  # noqa: F401
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(f"scirknn needs numpy ({error}): sudo apt install python3-numpy") from None

from scirknn.bundle.contents import Bundle
from scirknn.bundle.files import read_bundle
from scirknn.bundle.input_range import InputRange
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
from scirknn.estimators.classifier import MLPClassifier
from scirknn.estimators.load import load
from scirknn.estimators.range_watch import InputRangeCounts
from scirknn.estimators.regressor import MLPRegressor

__all__ = [
    "Bundle",
    "BundleError",
    "BundleFormatError",
    "BundleNotFoundError",
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
    "OutputRangeError",
    "ScirknnError",
    "__version__",
    "load",
    "read_bundle",
]

__version__ = "0.2.0"
