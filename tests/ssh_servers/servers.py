"""Real SSH servers on loopback, whose user is called ``board`` and has a home of the test's own.

They run as the user of the tests, root or not: libnss_wrapper shows them another passwd.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import attrs
import pytest

from tests.waiting import wait_until

__all__ = ["DROPBEAR", "SSHD", "Site", "make_key", "require", "script", "serving"]

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
_PACKAGES = {
    "sshd": "openssh-server",
    "dropbear": "dropbear-bin",
    "dropbearkey": "dropbear-bin",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "bash": "bash",
}
_ATTEMPTS = 5  # at a port that is free

SSHD = "sshd"
DROPBEAR = "dropbear"

_SSHD_CONFIG = """
ListenAddress {address}
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/home/.ssh/authorized_keys
PidFile none
StrictModes no
UsePAM no
PermitRootLogin yes
"""


def require(*programs: str) -> None:
    """Skip the test where a program is missing, and name its package."""
    for program in programs:
        if shutil.which(program, path=_PATH) is None:
            pytest.skip(f"needs {program}: install {_PACKAGES[program]}")


def _wrapper() -> str:
    for place in ("/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/lib/*"):
        for path in glob.glob(f"{place}/libnss_wrapper.so"):
            return path
    pytest.skip("needs libnss_wrapper.so: install libnss-wrapper")


def make_key(path: Path, kind: str = "ed25519", passphrase: str = "") -> str:
    """Make a key, and return its public line without the comment."""
    command = ["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path)]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def script(path: Path, text: str) -> None:
    """Write a program for the shell."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@attrs.frozen
class Site:
    """Where a server's files are, and where it listens.

    Attributes
    ----------
    folder : pathlib.Path
        With ``home``, the home of the user ``board``.
    public : str
        The server's host key.
    """

    folder: Path
    address: str
    port: int
    public: str


@contextlib.contextmanager
def serving(
    program: str,
    folder: Path,
    options: Sequence[str] = (),
    *,
    shell: str = "/bin/sh",
    address: str = "127.0.0.1",
) -> Iterator[Site]:
    """Run a server until the block ends; its host key is made unless it is there.

    Parameters
    ----------
    program : {"sshd", "dropbear"}
    folder : pathlib.Path
        For all its files.
    options : sequence of str
        Lines of sshd_config that come first, or arguments of dropbear.
    shell : str
        The user's.
    """
    require(program)
    environment = {**os.environ, "LD_PRELOAD": _wrapper(), **_accounts(folder, shell)}
    public = _host_key(program, folder)
    for _ in range(_ATTEMPTS):
        port = _free_port(address)
        command = (_sshd if program == SSHD else _dropbear)(folder, options, address, port)
        with (folder / "server.log").open("ab") as log:
            process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            if _comes_up(process, address, port):
                yield Site(folder, address, port, public)
                return
        finally:
            process.terminate()
            process.wait()
    raise AssertionError((folder / "server.log").read_text())


def _accounts(folder: Path, shell: str) -> dict[str, str]:
    """Return the variables that show a server a passwd with the user ``board``."""
    home, passwd = folder / "home", folder / "passwd"
    (home / ".ssh").mkdir(parents=True, exist_ok=True, mode=0o700)
    home.chmod(0o700)
    line = f"board:x:{os.getuid()}:{os.getgid()}::{home}:{shell}\n"
    passwd.write_text(Path("/etc/passwd").read_text() + line)
    return {"NSS_WRAPPER_PASSWD": str(passwd), "NSS_WRAPPER_GROUP": "/etc/group"}


def _host_key(program: str, folder: Path) -> str:
    path = folder / "host_key"
    if program == SSHD:
        return make_key(path)
    require("dropbearkey")
    made = subprocess.run(
        ["dropbearkey", "-t", "ed25519", "-f", str(path)], capture_output=True, text=True, check=True
    )
    return next(line for line in made.stdout.splitlines() if line.startswith("ssh-ed25519 ")).rsplit(" ", 1)[
        0
    ]


def _sshd(folder: Path, options: Sequence[str], address: str, port: int) -> list[str]:
    if os.getuid() == 0:
        os.makedirs("/run/sshd", exist_ok=True)  # where root's sshd keeps apart what it does before a login
    config = "\n".join(options) + _SSHD_CONFIG.format(folder=folder, address=address, port=port)
    (folder / "sshd_config").write_text(config)
    return [str(shutil.which("sshd", path=_PATH)), "-D", "-e", "-f", str(folder / "sshd_config")]


def _dropbear(folder: Path, options: Sequence[str], address: str, port: int) -> list[str]:
    listen = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    files = ["-r", str(folder / "host_key"), "-P", str(folder / "pid"), "-p", listen]
    return [str(shutil.which("dropbear", path=_PATH)), "-F", "-E", *files, *options]


def _free_port(address: str) -> int:
    with socket.create_server((address, 0), family=_family(address)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _comes_up(process: subprocess.Popen[bytes], address: str, port: int) -> bool:
    """Wait, and return whether the server listens; False when it ended, its port another's meanwhile."""

    def answers() -> bool:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection((address, port)):
            return True
        return False

    wait_until(lambda: process.poll() is not None or answers(), f"a server listens on {address}:{port}")
    return process.poll() is None
