"""The content of files that are sent."""

from __future__ import annotations

import re
from pathlib import Path

from scirknn.files import sha256_of_bytes, sha256_of_file

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
    return sha256_of_bytes(content) if isinstance(content, bytes) else sha256_of_file(content)
