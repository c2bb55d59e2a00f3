"""Which of the vendor's runtimes runs a bundle on the NPU: librknnrt.so itself, or rknnlite."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from scirknn.bundle.contents import Bundle
from scirknn.devices.core_pool import Context, close_contexts
from scirknn.devices.native.library import Library, load_library
from scirknn.devices.native.opening import Refusal, open_bound, open_general
from scirknn.devices.session import has_rknnlite, open_session
from scirknn.errors import DeviceError, InputError, NativeError

RUNTIMES = ("auto", "native", "rknnlite")
"""What `runtime` can be."""


@dataclass(frozen=True)
class Runtime:
    """What runs a model's files.

    Attributes
    ----------
    name : {"native", "general", "rknnlite", "virtual", "host"}
        librknnrt.so with memory bound to the model's input and output, librknnrt.so by its general calls,
        the vendor's rknnlite over it, the virtual NPU; numpy alone, for a model without a file.
    reason : str
        Why this one.
    """

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


def require_runtime(runtime: str) -> None:
    """Refuse another name of a runtime than those of `RUNTIMES` (InputError)."""
    if runtime not in RUNTIMES:
        raise InputError(f"runtime is {runtime!r}; it can be one of {', '.join(RUNTIMES)}.")


def open_on_npu(bundle: Bundle, cores: Sequence[str], runtime: str) -> tuple[list[Context], Runtime]:
    """Open a bundle, a context for each of `cores`.

    "auto" takes bound memory where `scirknn.devices.native.opening.open_bound` does, else general calls of
    the same library, else rknnlite.

    Raises
    ------
    DeviceError
        The runtime is not installed, or "native" is asked for and is not right for this bundle.
    NativeError
        The runtime refused a file. What had been opened is closed.
    """
    if runtime == "rknnlite":
        return _by_rknnlite(bundle, cores, "asked for")
    try:
        library = load_library()
    except DeviceError as error:
        if runtime == "native" or not has_rknnlite():
            raise
        return _by_rknnlite(bundle, cores, str(error))
    if runtime == "native":
        contexts = open_bound(bundle, cores, library, unverified=True)
        if isinstance(contexts, Refusal):
            raise DeviceError(f"runtime='native' is not possible: {contexts.text}. Take runtime='auto'.")
        return contexts, Runtime("native", f"asked for, by {library.path}")
    try:
        return _by_library(bundle, cores, library)
    except NativeError as error:
        if not has_rknnlite():
            raise
        return _by_rknnlite(bundle, cores, str(error))


def _by_library(bundle: Bundle, cores: Sequence[str], library: Library) -> tuple[list[Context], Runtime]:
    contexts: list[Context] | Refusal
    try:
        contexts = open_bound(bundle, cores, library)
    except NativeError as error:  # general calls need neither memory nor other contexts
        contexts = Refusal(str(error))
    if not isinstance(contexts, Refusal):
        rows = 0 if bundle.probe is None else len(bundle.probe.inputs)
        reason = f"{library.path} gives the bits of its general calls on the {rows} rows of probe_rows"
        return contexts, Runtime("native", reason)
    return open_general(bundle, cores, library), Runtime("general", contexts.text)


def _by_rknnlite(bundle: Bundle, cores: Sequence[str], reason: str) -> tuple[list[Context], Runtime]:
    return open_files(bundle, "npu", cores), Runtime("rknnlite", reason)


def open_files(bundle: Bundle, device: str, cores: Sequence[str]) -> list[Context]:
    """Open a bundle's files by `open_session`, a context for each of `cores`."""
    contexts: list[Context] = []
    try:
        for core in cores:
            contexts.append({})
            for variant, file in bundle.files():
                contexts[-1][variant.samples] = open_session(file, device, core, bundle.form)
    except BaseException:
        close_contexts(contexts)
        raise
    return contexts
