"""librknnrt.so, loaded."""

from __future__ import annotations

import ctypes
from typing import Any

from scirknn.devices.compatibility import runtime_path
from scirknn.devices.native.declarations import SIGNATURES
from scirknn.devices.vendor_errors import cure_for, name_of
from scirknn.errors import DeviceError, NativeError

_GENERAL = (
    *("rknn_init", "rknn_destroy", "rknn_query", "rknn_set_core_mask", "rknn_dup_context"),
    *("rknn_inputs_set", "rknn_run", "rknn_outputs_get", "rknn_outputs_release"),
)


class Library:
    """The functions of librknnrt.so by name; ctypes lets go of the interpreter's lock in each.

    Attributes
    ----------
    path : str
    missing : tuple of str
        Functions that this version lacks.
    """

    def __init__(self, path: str, handle: Any) -> None:
        self.path = path
        self._functions: dict[str, Any] = {}
        for name, (arguments, result) in SIGNATURES.items():
            function = getattr(handle, name, None)
            if function is not None:
                function.argtypes, function.restype = arguments, result
                self._functions[name] = function
        self.missing = tuple(name for name in SIGNATURES if name not in self._functions)

    def function(self, name: str) -> Any:
        """Return a function of the library, which returns what the C function does."""
        return self._functions[name]

    def call(self, name: str, model: str, *arguments: Any) -> None:
        """Call a function that returns a code.

        Raises
        ------
        NativeError
            The code is not 0; `model` is the file's name, for the text.
        """
        code = self._functions[name](*arguments)
        if code != 0:
            raise failed_call(name, model, code)


def failed_call(name: str, model: str, code: int) -> NativeError:
    """Return the error of a call that returned a code."""
    vendors_name = name_of(code)
    text = f"{name} of {model} returned {code}{f' ({vendors_name})' if vendors_name else ''}. "
    return NativeError(name, code, (text + cure_for(vendors_name)).strip(), vendors_name)


def load_library() -> Library:
    """Load librknnrt.so: that of ``SCIRKNN_LIBRKNNRT``, or the one that the system has.

    Raises
    ------
    DeviceError
        There is none, or it lacks a function that every version since 1.3.0 has.
    """
    path = runtime_path()
    if path is None:  # by its bare name a library that the process has loaded from elsewhere would be found
        raise DeviceError(
            "There is no librknnrt.so in /usr/lib. 'python3 -m scirknn doctor' has the command that installs "
            "it; SCIRKNN_LIBRKNNRT names one that is elsewhere."
        )
    try:
        library = Library(str(path), ctypes.CDLL(str(path)))
    except OSError as error:
        raise DeviceError(f"librknnrt.so cannot be loaded ({error}). Install it in /usr/lib.") from None
    lacking = [name for name in _GENERAL if name in library.missing]
    if lacking:
        raise DeviceError(f"{path} has no {lacking[0]}. Install the librknnrt.so of the model's toolkit.")
    return library
