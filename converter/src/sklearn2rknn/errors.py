"""What can go wrong between an estimator and its bundle.

::

    Sklearn2RknnError
    ├── UnsupportedModelError      an estimator, or what it holds, that cannot be converted (also TypeError)
    ├── NotFittedError             the estimator has no weights yet (also scikit-learn's; in `not_fitted`)
    ├── OptionError                an argument has no such value, or two contradict (also ValueError)
    ├── ExampleInputError          example_input does not fit the model, or is not there (also ValueError)
    ├── RangeError                 numbers that no scale brings into the precision (also ValueError)
    ├── ModelFileError             the model's file cannot be read
    │   └── UntrustedModelError      it names something that loading a model does not need
    ├── ToolkitError               the vendor's toolkit is not available
    │   ├── ToolkitNotInstallableError   its environment cannot be made on this machine
    │   │   ├── NetworkError               no package index answers
    │   │   ├── DownloadError              what came is not what the lock names
    │   │   ├── WheelError                 the vendor's wheel is not given, or is another file
    │   │   └── PythonMissingError         no Python that it has wheels for is on the PATH
    │   └── EngineError              the container engine failed
    │       ├── EngineMissingError     none answers
    │       ├── EnginePermissionError  an engine answers, but this user may not use it
    │       ├── RegistryError          it cannot fetch the base image
    │       ├── ImageMissingError      there is no image of this toolkit
    │       ├── ImageStaleError        the image was built from another lock
    │       └── DiskFullError          no room to make it (also a ToolkitNotInstallableError)
    └── ConversionError            the vendor's converter failed; carries the stage, the reason and its log
        ├── WorkerOutputError        its process left something that is no result
        ├── LimitError               it met its limit of memory or time (also carries which)
        ├── CpuFallbackError         layers were placed on the CPU
        └── CheckError               the file was built, but what it computes is wrong
"""

from __future__ import annotations

from scirknn.text import printable


class Sklearn2RknnError(Exception):
    """Base of every error that sklearn2rknn raises on purpose; its text is `scirknn.text.printable`."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class UnsupportedModelError(Sklearn2RknnError, TypeError):
    """The model cannot be converted."""


class OptionError(Sklearn2RknnError, ValueError):
    """An option has an impossible value."""


class ExampleInputError(Sklearn2RknnError, ValueError):
    """The example input cannot be used."""


class ExampleInputWarning(UserWarning):
    """The example input can be used, with a poor result to be expected."""


class RangeError(Sklearn2RknnError, ValueError):
    """A number does not fit the precision, and no exact rescaling brings it in."""


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


class NetworkError(ToolkitNotInstallableError):
    """No package index can be reached."""


class DownloadError(ToolkitNotInstallableError):
    """A downloaded file is not the one that the lock names."""


class WheelError(ToolkitNotInstallableError):
    """The vendor's wheel was not given, or the file given is another one."""


class PythonMissingError(ToolkitNotInstallableError):
    """No Python that the toolkit has wheels for is on the PATH."""


class EngineError(ToolkitError):
    """The container engine failed."""


class EngineMissingError(EngineError):
    """No container engine answers."""


class EnginePermissionError(EngineError):
    """There is a container engine, and this user may not talk to it."""


class RegistryError(EngineError):
    """The engine cannot fetch the base image."""


class ImageMissingError(EngineError):
    """There is no image of the toolkit."""


class ImageStaleError(EngineError):
    """The image of the toolkit was built from another lock or another worker."""


class DiskFullError(ToolkitNotInstallableError, EngineError):
    """There is no room for an environment or an image."""


class ConversionError(Sklearn2RknnError):
    """The toolkit failed a model.

    Attributes
    ----------
    stage : str
        The toolkit's call that failed, such as ``load_onnx`` or ``build``.
    reason : str
        Its message, or how its process ended.
    log : str
        The lines of its log that name an error.
    """

    _failure = "The toolkit failed in {}: "

    def __init__(self, stage: str, reason: str, log: str = "", *, advice: str = "") -> None:
        self.stage, self.reason, self.log = stage, reason, log
        message = self._failure.format(stage) + reason
        if advice:
            message += f" {advice}"
        if log:
            message += "\nLog:\n" + "\n".join("  " + line for line in log.splitlines())
        super().__init__(message)


class LimitError(ConversionError):
    """The job met a limit and was ended; the toolkit goes on with the next.

    Attributes
    ----------
    limit : {"memory", "time"}
    """

    def __init__(self, limit: str, stage: str, reason: str, log: str = "") -> None:
        super().__init__(stage, reason, log)
        self.limit = limit


class WorkerOutputError(ConversionError):
    """The toolkit's process left a link, a FIFO, a device, a huge file or nonsense for a result."""

    def __init__(self, reason: str) -> None:
        advice = "The process was ended; the next conversion starts another."
        super().__init__("worker", reason, advice=advice)


class CpuFallbackError(ConversionError):
    """Layers were placed on the CPU."""


class CheckError(ConversionError):
    """The file computes infinities or NaN, or fails its limits or its bound."""

    _failure = "The {} refuses the conversion: "


class CheckWarning(UserWarning):
    """The file was built and computes something else than the estimator."""
