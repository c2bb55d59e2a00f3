"""Load a bundle's model files, on one core, on several, or in a pool."""

from __future__ import annotations

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
