"""What a toolkit's failure says, as a sentence for a page or a screen."""

from __future__ import annotations

import re

import sklearn2rknn


def toolkit_failure(error: sklearn2rknn.ConversionError) -> str:
    """Return a sentence: of a traceback, the line that names the exception."""
    lines = [line.strip() for line in error.reason.splitlines() if line.strip()]
    telling = [line for line in lines[1:] if re.match(r"[\w.]*(Error|Exception): ", line)]
    return f"The toolkit failed in {error.stage}: {(telling or lines or ['it gave no reason'])[0]:.300}"
