"""Edit a bundle's metadata file, with a digest that is right for what was edited."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scirknn.bundle import metadata_path
from scirknn.bundle.sidecar import with_digest

__all__ = ["edit_metadata", "replace_metadata"]


def edit_metadata(path: Path, **changes: Any) -> Path:
    """Change entries of the metadata of the model file at `path`; return the path."""
    return replace_metadata(path, {**json.loads(metadata_path(path).read_text()), **changes})


def replace_metadata(path: Path, document: Mapping[str, Any]) -> Path:
    """Write the metadata of the model file at `path`; return the path."""
    metadata_path(path).write_text(json.dumps(with_digest(document)))
    return path
