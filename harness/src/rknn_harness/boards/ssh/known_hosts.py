"""The file of host keys that a board is trusted by: OpenSSH's known_hosts."""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Mapping
from pathlib import Path

import attrs
import paramiko
from paramiko.pkey import UnknownKeyType

_NO_CERTIFICATES = (
    "Its line {} trusts an authority's certificates, which are not used: it takes the board's own key."
)


@attrs.frozen
class KnownHosts:
    """What a file has about one host.

    Attributes
    ----------
    keys : tuple of paramiko.PKey
        Trusted; without those that are revoked.
    revoked : mapping of bytes to int
        The numbers of lines that revoke a key, by the key.
    remarks : str
        Sentences about lines that could not be used; empty when there are none.
    """

    keys: tuple[paramiko.PKey, ...]
    revoked: Mapping[bytes, int]
    remarks: str

    @classmethod
    def read(cls, path: Path, host: str) -> KnownHosts:
        """Read what a file has about a host, ``name`` or ``[name]:port``.

        Raises
        ------
        OSError
            The file cannot be read.
        """
        keys: list[paramiko.PKey] = []
        revoked: dict[bytes, int] = {}
        remarks = ""
        for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
            marker, names, fields = _split(line)
            if not _is_named(host, names):
                continue
            if marker == "@cert-authority":
                remarks += f" {_NO_CERTIFICATES.format(number)}"
                continue
            try:
                key = _read_key(fields)
            except UnknownKeyType as error:
                remarks += f" Its line {number} has a key of the unknown type {error.key_type!r:.40}."
                continue
            except (ValueError, TypeError, IndexError, struct.error, paramiko.SSHException):
                remarks += f" Its line {number} is damaged: remove it with 'sed -i {number}d {path}'."
                continue
            if marker == "@revoked":
                revoked[key.asbytes()] = number
            else:
                keys.append(key)
        return cls(tuple(key for key in keys if key.asbytes() not in revoked), revoked, remarks.strip())


def _split(line: str) -> tuple[str, list[str], list[str]]:
    """Return marker, names of hosts, and the fields after them, as sshd(8) lays a line out."""
    words = line.split()
    if not words or words[0].startswith("#"):
        return "", [], []
    marker = words.pop(0) if words[0].startswith("@") else ""
    return marker, words[0].split(",") if words else [], words[1:]


def _is_named(host: str, names: list[str]) -> bool:
    """Whether a line's names match: a hash, or patterns with ``*``, ``?`` and ``!``."""
    is_named = False
    for name in names:
        if name.startswith("|1|"):
            is_named |= _is_hash_of(host, name)
            continue
        pattern = re.escape(name.removeprefix("!")).replace(r"\*", ".*").replace(r"\?", ".")
        if re.fullmatch(pattern, host, re.IGNORECASE):
            if name.startswith("!"):
                return False
            is_named = True
    return is_named


def _is_hash_of(host: str, name: str) -> bool:
    try:
        return paramiko.HostKeys.hash_host(host, name) == name
    except (ValueError, AssertionError):  # a damaged salt
        return False


def _read_key(fields: list[str]) -> paramiko.PKey:
    if len(fields) < 2:
        raise ValueError("no key")
    key: paramiko.PKey = paramiko.PKey.from_type_string(fields[0], base64.b64decode(fields[1], validate=True))
    return key
