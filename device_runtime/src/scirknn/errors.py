"""What can go wrong between a bundle and its predictions.

::

    ScirknnError
    ├── BundleError              the .rknn or its .rknn.json is missing, damaged or of another kind
    │   ├── BundleNotFoundError    (also FileNotFoundError)
    │   ├── BundleFormatError      the metadata is not what this version reads
    │   └── DigestError            a file's sha256 is not the one the metadata names
    ├── DeviceError              no usable NPU on this machine
    │   └── CompatibilityError     the model, librknnrt and the driver here are not compatible
    ├── NativeError              the vendor's runtime refused or failed a call; carries its code
    ├── OutputRangeError         the model answered NaN or infinity (also ArithmeticError)
    └── InputError               X is not what the model takes (also ValueError, as in scikit-learn)
        └── InputRangeError        rows leave the range that the model was calibrated for, under --strict

    InputRangeWarning            the same, without --strict (a UserWarning)
"""

from __future__ import annotations

from scirknn.text import printable


class ScirknnError(Exception):
    """Base of every error that scirknn raises on purpose; its text is `scirknn.text.printable`."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class BundleError(ScirknnError):
    """A bundle cannot be used."""


class BundleNotFoundError(BundleError, FileNotFoundError):
    """A file of the bundle is not there."""


class BundleFormatError(BundleError):
    """The metadata is damaged, incomplete, or of a format this version does not read."""


class DigestError(BundleError):
    """A file of the bundle is not the one its metadata was written for."""


class DeviceError(ScirknnError):
    """The machine has no usable NPU runtime."""


class CompatibilityError(DeviceError):
    """The model cannot run with the versions on this machine.

    Attributes
    ----------
    rules : tuple of str
        Short names of the rules that are broken.
    """

    def __init__(self, rules: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.rules = rules


class NativeError(ScirknnError):
    """The vendor's runtime failed a call.

    Attributes
    ----------
    call : str
        The call that failed, such as ``init_runtime``.
    code : int or None
        The vendor's return code, when it gave one.
    name : str or None
        The vendor's name of what went wrong, such as ``RKNN_ERR_MODEL_INVALID``, where it is known. rknnlite
        returns -1 for everything and names the code in its log only.
    """

    def __init__(self, call: str, code: int | None, message: str, name: str | None = None) -> None:
        super().__init__(message)
        self.call = call
        self.code = code
        self.name = name


class OutputRangeError(ScirknnError, ArithmeticError):
    """The model answered NaN or infinity: a value left the range of its precision."""


class InputError(ScirknnError, ValueError):
    """X, y or a parameter is not what the model takes."""


class InputRangeError(InputError):
    """Rows leave the range of inputs that a model of integers was calibrated for."""


class InputRangeWarning(UserWarning):
    """Rows leave the range of inputs that a model of integers was calibrated for."""
