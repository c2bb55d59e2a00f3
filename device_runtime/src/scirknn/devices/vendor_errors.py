"""The vendor's return codes: names, and what helps.

Numbers and names are those of the public C API ("Rockchip RKNPU API Reference RKNNRT", chapter "Error codes",
and the header ``rknn_api.h``; two of the names lack letters there too).
"""

from __future__ import annotations

import re

_NAMES = {
    -1: "RKNN_ERR_FAIL",
    -2: "RKNN_ERR_TIMEOUT",
    -3: "RKNN_ERR_DEVICE_UNAVAILABLE",
    -4: "RKNN_ERR_MALLOC_FAIL",
    -5: "RKNN_ERR_PARAM_INVALID",
    -6: "RKNN_ERR_MODEL_INVALID",
    -7: "RKNN_ERR_CTX_INVALID",
    -8: "RKNN_ERR_INPUT_INVALID",
    -9: "RKNN_ERR_OUTPUT_INVALID",
    -10: "RKNN_ERR_DEVICE_UNMATCH",
    -11: "RKNN_ERR_INCOMPATILE_PRE_COMPILE_MODEL",
    -12: "RKNN_ERR_INCOMPATILE_OPTIMIZATION_LEVEL_VERSION",
    -13: "RKNN_ERR_TARGET_PLATFORM_UNMATCH",
}

_OTHER_VERSION = (
    "Install the librknnrt.so of the toolkit that made the model; 'python3 -m scirknn doctor' names it."
)
_CURES = {
    "RKNN_ERR_TIMEOUT": "The NPU did not answer in time: try again; if it stays so, restart the board.",
    "RKNN_ERR_DEVICE_UNAVAILABLE": "No driver answers: 'python3 -m scirknn doctor' says what is missing.",
    "RKNN_ERR_MALLOC_FAIL": "Memory ran out: close other models, or open fewer contexts (core='auto').",
    "RKNN_ERR_MODEL_INVALID": _OTHER_VERSION,
    "RKNN_ERR_CTX_INVALID": "The context is gone: load the model again.",
    "RKNN_ERR_DEVICE_UNMATCH": "Update librknnrt.so and the vendor's kernel, which holds the driver.",
    "RKNN_ERR_INCOMPATILE_PRE_COMPILE_MODEL": _OTHER_VERSION,
    "RKNN_ERR_INCOMPATILE_OPTIMIZATION_LEVEL_VERSION": _OTHER_VERSION,
    "RKNN_ERR_TARGET_PLATFORM_UNMATCH": "Convert the model again with this chip as target_platform.",
}


def name_of(code: int | None) -> str | None:
    """Return the vendor's name of a return code; None for one without."""
    return None if code is None else _NAMES.get(code)


def last_error_code(log: str) -> str | None:
    """Return the name of the last code in a log of the vendor's library."""
    names = re.findall(r"RKNN_ERR_[A-Z_]+", log)
    return names[-1] if names else None


def cure_for(name: str | None) -> str:
    """Return what helps against an error, or nothing."""
    return _CURES.get(name or "", "")
