"""Load a bundle's model files, on one core, on several, or in a pool."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

from scirknn.devices.core_pool import Context, Contexts, CorePool, close_contexts
from scirknn.devices.protocol import MASKS
from scirknn.devices.session import open_session
from scirknn.errors import InputError

if TYPE_CHECKING:
    from scirknn.bundle.contents import Bundle

__all__ = ["CORES", "open_contexts"]

POOL = "pool"
CORES = (*MASKS, POOL)
"""What `core` can be: the vendor's masks, or a context on each core."""

_CORE_COUNTS = {"rk3588": 3, "rk3576": 2}  # vendor's API reference, rknn_core_mask; the others have one


MOST_LINES = 2047
"""Rows of a run that the NPU's register for an input's height holds: 11 bits (RK3588 TRM, part 1)."""


def open_contexts(bundle: Bundle, device: str, core: str) -> Contexts:
    """Load a bundle's model files.

    `device` is "npu" or "virtual", `core` one of `CORES`. "pool" makes a context on each core of the
    bundle's chip.

    Raises
    ------
    InputError
        Another `core`.
    DeviceError, NativeError
        What had been opened is closed.
    """
    if core not in CORES:
        raise InputError(f"core is {core!r}; it can be one of {', '.join(CORES)}.")
    masks = [core]
    if core == POOL:
        toolkit = bundle.details.get("toolkit")
        platform = toolkit.get("target_platform") if isinstance(toolkit, dict) else None
        count = _CORE_COUNTS.get(str(platform or "rk3588").rstrip("s"), 1)
        masks = [str(number) for number in range(count)] if count > 1 else ["auto"]
    _warn_of_many_lines(bundle, device)
    contexts: list[Context] = []
    try:
        for mask in masks:
            contexts.append({})
            for variant, file in bundle.files():
                contexts[-1][variant.samples] = open_session(file, device, mask, bundle.form)
    except BaseException:
        close_contexts(contexts)
        raise
    return (
        Contexts(bundle.path.name, contexts) if len(contexts) == 1 else CorePool(bundle.path.name, contexts)
    )


def _warn_of_many_lines(bundle: Bundle, device: str) -> None:
    """Warn of a run that may have more rows than a register holds; the virtual NPU sees it in the file."""
    most = max((variant.samples for variant in bundle.variants), default=0)
    if device == "npu" and most > MOST_LINES:
        warnings.warn(
            f"{bundle.path.name} takes {most} rows a run. Its program may write more lines than the NPU's "
            f"register holds, {MOST_LINES}, and then answers may be wrong: convert the model again.",
            stacklevel=4,
        )
