"""The cache folder of environments and wheels."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

CACHE_VARIABLE = "SKLEARN2RKNN_CACHE"


def cache_folder() -> Path:
    """Return the folder."""
    return Path(
        os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("sklearn2rknn", appauthor=False)
    )
