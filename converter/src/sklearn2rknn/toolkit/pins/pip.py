"""What pip's failures mean."""

from __future__ import annotations

import re

from sklearn2rknn.errors import DiskFullError, DownloadError, NetworkError, ToolkitNotInstallableError
from sklearn2rknn.toolkit.pins.versions import toolkit_versions

_PIP_SAYS = (
    (r"No space left on device", DiskFullError, "Make room on the disk."),
    (
        r"DO NOT MATCH THE HASHES|HashMismatch|Can't verify hashes",
        DownloadError,
        "A download was corrupted or replaced on its way: try again, after pip cache purge. If it stays so, "
        "the index serves other files than the lock names.",
    ),
    (
        r"NewConnectionError|Temporary failure in name resolution|Max retries exceeded|ConnectTimeout|"
        r"Network is unreachable|Connection refused|ProxyError|SSLError|ReadTimeoutError",
        NetworkError,
        "No package index answers: check the network and pip's settings (pip config list). Where there is "
        "none, make the environment elsewhere and give its cache folder.",
    ),
)


def pip_failure(output: str, doing: str) -> ToolkitNotInstallableError:
    """Turn what pip printed into the error that names the cure."""
    lines = [line for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()] or lines
    tail = "\n".join("  " + line for line in errors[-4:])
    for pattern, kind, cure in _PIP_SAYS:
        if re.search(pattern, output, re.IGNORECASE):
            return kind(f"{doing} pip said:\n{tail}\n{cure}")
    return ToolkitNotInstallableError(
        f"{doing} pip or venv said:\n{tail}\nCheck the network and pip's settings (pip config list), and "
        f"that there is room on the disk; there are toolkits {', '.join(toolkit_versions())}."
    )
