"""Load a bundle's model files, on one core, on several, or in a pool."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from scirknn.bundle.contents import Bundle
from scirknn.devices.core_pool import Contexts, CorePool
from scirknn.devices.protocol import MASKS
from scirknn.devices.runtimes import Runtime, open_files, open_on_npu
from scirknn.errors import InputError

POOL = "pool"
CORES = (*MASKS, POOL)
"""What `core` can be: the vendor's masks, or a context on each core."""

_CORE_COUNTS = {"rk3588": 3, "rk3576": 2}  # vendor's API reference, rknn_core_mask; the others have one


MOST_LINES = 2047
"""Rows of a run that the NPU's register for an input's height holds: 11 bits (RK3588 TRM, part 1)."""


@dataclass(frozen=True)
class OpenModel:
    """A bundle's contexts, and what runs them."""

    contexts: Contexts
    runtime: Runtime


def open_contexts(bundle: Bundle, device: str, core: str, runtime: str = "auto") -> OpenModel:
    """Load a bundle's model files.

    `device` is "npu" or "virtual", `core` one of `CORES`, `runtime` one of `RUNTIMES`, for the NPU. "pool"
    makes a context on each core of the bundle's chip.

    Raises
    ------
    DeviceError, NativeError
        What had been opened is closed.
    """
    masks = [core]
    if core == POOL:
        toolkit = bundle.details.get("toolkit")
        platform = toolkit.get("target_platform") if isinstance(toolkit, dict) else None
        count = _CORE_COUNTS.get(str(platform or "rk3588").rstrip("s"), 1)
        masks = [str(number) for number in range(count)] if count > 1 else ["auto"]
    _warn_of_many_lines(bundle, device)
    if device == "npu":
        contexts, chosen = open_on_npu(bundle, masks, runtime)
    else:
        contexts, chosen = open_files(bundle, device, masks), Runtime("virtual", "device='virtual'")
    kind = Contexts if len(contexts) == 1 else CorePool
    return OpenModel(kind(bundle.path.name, contexts), chosen)


def require_core(core: str) -> None:
    """Refuse what is none of `CORES` (InputError)."""
    if core not in CORES:
        raise InputError(f"core is {core!r}; it can be one of {', '.join(CORES)}.")


def _warn_of_many_lines(bundle: Bundle, device: str) -> None:
    """Warn of a run that may have more rows than a register holds; the virtual NPU sees it in the file."""
    most = max((variant.samples for variant in bundle.variants), default=0)
    if device == "npu" and most > MOST_LINES:
        warnings.warn(
            f"{bundle.path.name} takes {most} rows a run. Its program may write more lines than the NPU's "
            f"register holds, {MOST_LINES}, and then answers may be wrong: convert the model again.",
            stacklevel=5,
        )
