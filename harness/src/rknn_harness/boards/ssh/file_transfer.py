"""The content of files that are sent."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

SMALL_BYTES = 1 << 18  # bytes of files that `Connection.keep` is asked to take
DIGEST_LINE = re.compile(r"^\\?([0-9a-f]{64})  ", re.MULTILINE)


def content_size(content: Path | bytes) -> int:
    """Return a content's size in bytes."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def content_bytes(content: Path | bytes) -> bytes:
    """Return a content's bytes."""
    return content if isinstance(content, bytes) else content.read_bytes()


def content_sha256(content: Path | bytes) -> str:
    """Return a content's sha256."""
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    digest = hashlib.sha256()
    with content.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
