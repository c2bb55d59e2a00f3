"""What ``ssh HOST`` would use: OpenSSH's own reading of ssh_config."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import attrs

_SECONDS = 30.0
_SHELL = re.compile(r"^-|[^\w.:@%+-]")
"""What a host or a user has that is none; a shell may obey it."""


@attrs.frozen
class SshSettings:
    """Where and how OpenSSH would reach a host.

    Attributes
    ----------
    host : str
        ``HostName``, or the host as it was given.
    port : int or None
    user : str or None
    key : pathlib.Path or None
        The first ``IdentityFile`` that is there.
    known_hosts : pathlib.Path or None
        The first ``UserKnownHostsFile`` that is there.
    proxy : str
        A shell's command that reaches the host on its standard streams, from ``ProxyCommand`` or
        ``ProxyJump``; empty for a direct connection.
    """

    host: str
    port: int | None = None
    user: str | None = None
    key: Path | None = None
    known_hosts: Path | None = None
    proxy: str = ""


def ssh_settings(host: str, *, user: str | None = None, port: int | None = None) -> SshSettings:
    """Ask ``ssh -G`` for a host's settings; the host alone where there is no client.

    Parameters
    ----------
    host : str
    user, port : str and int, optional
        Chosen elsewhere, which counts more than the configuration.

    Raises
    ------
    ValueError
        The client refuses the host or its configuration; the text is the client's.
    """
    chosen = [*(["-l", user] if user else []), *(["-p", str(port)] if port else [])]
    try:
        answer = subprocess.run(
            ["ssh", "-T", "-G", *chosen, "--", host],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        return SshSettings(host)
    if answer.returncode != 0:
        raise ValueError(answer.stderr.strip() or f"ssh -G ended with {answer.returncode}")
    values: dict[str, list[str]] = {}
    for line in answer.stdout.splitlines():
        name, _, value = line.partition(" ")
        values.setdefault(name, []).append(value)
    hostname, its_port = values["hostname"][0], int(values["port"][0])
    its_user = values["user"][0]
    return SshSettings(
        hostname,
        its_port,
        its_user,
        _first_file(values.get("identityfile", [])),
        _first_file(" ".join(values.get("userknownhostsfile", [])).split()),
        _proxy(values, host, hostname, its_port, its_user),
    )


def _first_file(names: list[str]) -> Path | None:
    paths = (Path(name).expanduser() for name in names)
    return next((path for path in paths if path.is_file()), None)


def _proxy(values: dict[str, list[str]], given: str, host: str, port: int, user: str) -> str:
    """Return ``ProxyCommand`` with its tokens filled in, or that of ``ProxyJump``."""
    command = values.get("proxycommand", ["none"])[0]
    if command != "none":
        for word in (given, host, user):
            if _SHELL.search(word):
                raise ValueError(f"{word!r:.80} cannot be given to ProxyCommand, which a shell reads")
        tokens = {"%%": "%", "%h": host, "%n": given, "%p": str(port), "%r": user}
        return re.sub("%[%hnpr]", lambda token: tokens[token[0]], command)
    jumps = values.get("proxyjump", ["none"])[0]
    if jumps == "none":
        return ""
    *before, last = jumps.split(",")
    through = ["-J", ",".join(before)] if before else []
    return shlex.join(["ssh", *through, "-W", f"[{host}]:{port}", f"ssh://{last.removeprefix('ssh://')}"])
