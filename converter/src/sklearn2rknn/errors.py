"""What can go wrong between an estimator and its bundle.

::

    Sklearn2RknnError
    ├── UnsupportedModelError      an estimator, or what it holds, that cannot be converted (also TypeError)
    ├── NotFittedError             the estimator has no weights yet (also scikit-learn's NotFittedError)
    ├── OptionError                an argument has no such value, or two contradict (also ValueError)
    ├── ExampleInputError          example_input does not fit the model, or is not there (also ValueError)
    ├── RangeError                 the weights do not fit the precision (also ValueError)
    ├── ModelFileError             the model's file cannot be read
    │   └── UntrustedModelError      it names something that loading a model does not need
    ├── ToolkitError               the converter of the vendor cannot be had or does not answer
    │   └── ToolkitNotInstallableError   its environment cannot be made on this machine
    └── ConversionError            the vendor's converter failed; carries the stage, the reason and its log
        ├── CpuFallbackError         layers were placed on the CPU
        └── CheckError               the file was built, but what it computes is not finite
"""

from __future__ import annotations

from sklearn.exceptions import NotFittedError as _SklearnNotFittedError

__all__ = [
    "CheckError",
    "ConversionError",
    "CpuFallbackError",
    "ExampleInputError",
    "ExampleInputWarning",
    "ModelFileError",
    "NotFittedError",
    "OptionError",
    "RangeError",
    "Sklearn2RknnError",
    "ToolkitError",
    "ToolkitNotInstallableError",
    "UnsupportedModelError",
    "UntrustedModelError",
]


class Sklearn2RknnError(Exception):
    """Base of every error that sklearn2rknn raises on purpose."""


class UnsupportedModelError(Sklearn2RknnError, TypeError):
    """The model cannot be converted."""


class NotFittedError(Sklearn2RknnError, _SklearnNotFittedError):  # type: ignore[misc]  # sklearn is untyped
    """The estimator was not fitted."""


class OptionError(Sklearn2RknnError, ValueError):
    """An option has an impossible value."""


class ExampleInputError(Sklearn2RknnError, ValueError):
    """The example input cannot be used."""


class ExampleInputWarning(UserWarning):
    """The example input can be used, with a poor result to be expected."""


class RangeError(Sklearn2RknnError, ValueError):
    """A weight lies outside what the precision can hold."""


class ModelFileError(Sklearn2RknnError):
    """The file of the model cannot be read."""


class UntrustedModelError(ModelFileError):
    """The file asks for code that reading a model does not need.

    Attributes
    ----------
    name : str
        What it asks for, such as ``os.system``.
    """

    def __init__(self, name: str, message: str) -> None:
        super().__init__(message)
        self.name = name


class ToolkitError(Sklearn2RknnError):
    """The toolkit's process cannot be started or does not answer."""


class ToolkitNotInstallableError(ToolkitError):
    """The toolkit's environment cannot be made here."""


class ConversionError(Sklearn2RknnError):
    """The toolkit failed a model.

    Attributes
    ----------
    stage : str
        The toolkit's call that failed, such as ``load_onnx`` or ``build``.
    reason : str
        What it said, or how its process ended.
    log : str
        The lines of its log that tell something.
    """

    def __init__(self, stage: str, reason: str, log: str = "", *, advice: str = "") -> None:
        self.stage, self.reason, self.log = stage, reason, log
        message = f"The toolkit failed in {stage}: {reason}"
        if advice:
            message += f" {advice}"
        if log:
            message += "\nIts log says:\n" + "\n".join("  " + line for line in log.splitlines())
        super().__init__(message)


class CpuFallbackError(ConversionError):
    """Layers were placed on the CPU."""


class CheckError(ConversionError):
    """The file computes infinities or NaN."""
