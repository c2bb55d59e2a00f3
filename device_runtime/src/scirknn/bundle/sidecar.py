"""A bundle's metadata as bytes: JSON of bounded size, with a digest of itself.

The digest is the SHA-256 of the metadata without it, as JSON with sorted keys and no spaces, so that another
indentation changes nothing. It guards against damage and edits by mistake, not against an attacker, who can
compute it too. Bundles from before it have none and are read.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Mapping

from scirknn.errors import BundleFormatError, DigestError
from scirknn.files import sha256_of_bytes
from scirknn.text import parse_json

_KEY = "digest"

_MOST_BYTES = 16 << 20
"""65,536 features with a name, offset, scale and two ends of a range take 13 MB; 4 features take 4 kB."""


def encode_metadata(document: Mapping[str, Any]) -> bytes:
    """Return metadata as a file holds it, with its digest.

    Raises
    ------
    ValueError
        A number is NaN or infinite.
    """
    # One line for each key: json's own indentation takes three times as long.
    lines = (
        f" {json.dumps(key)}: {json.dumps(value, allow_nan=False)}"
        for key, value in with_digest(document).items()
    )
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8")


def with_digest(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return metadata with its right digest, whatever digest it had."""
    rest = {key: value for key, value in document.items() if key != _KEY}
    return {**rest, _KEY: _digest(rest)}


def check_digest(sidecar: Path, document: dict[str, Any]) -> dict[str, Any]:
    """Return metadata without its digest, which is compared where there is one.

    Raises
    ------
    DigestError
        The digest is another.
    """
    rest = dict(document)
    if _KEY in rest:
        expected, digest = rest.pop(_KEY), _digest(rest)
        if expected != digest:
            raise DigestError(
                f"{sidecar} is not as the converter wrote it: its digest is {digest}, but {_KEY!r} is "
                f"{expected!r:.80}. It was damaged or edited; copy the bundle again."
            )
    return rest


def _digest(document: Mapping[str, Any]) -> str:
    return sha256_of_bytes(json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii"))


def read_metadata(sidecar: Path) -> Any:
    """Read a metadata file's JSON; no more of a file is read than a bundle's can have.

    Raises
    ------
    BundleFormatError
        As `decode_metadata`.
    """
    with sidecar.open("rb") as file:
        return decode_metadata(sidecar, file.read(_MOST_BYTES + 1))


def decode_metadata(sidecar: Path, content: bytes) -> Any:
    """Return a metadata file's JSON; its size is compared before anything is made of it.

    Raises
    ------
    BundleFormatError
        It is no JSON, or larger than any bundle's.
    """
    try:
        if len(content) > _MOST_BYTES:
            raise ValueError(f"it is larger than {_MOST_BYTES >> 20} MiB")
        return parse_json(content, finite=False)  # those who read an entry name it
    except ValueError as error:
        raise BundleFormatError(
            f"{sidecar} is not a bundle's metadata: {error}. Copy the bundle again."
        ) from None
