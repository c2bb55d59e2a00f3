"""Boards as people set them up, behind real servers: each works."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rknn_harness.boards.session.session import BoardSession
from tests.ssh_servers.plants import (
    hashed_names,
    modules_in_the_home,
    python_by_script,
    python_of_the_home,
    slow_link,
)
from tests.ssh_servers.servers import DROPBEAR
from tests.ssh_servers.setups import SetUp, opened

ALIAS = """
Host desk
  HostName 127.0.0.1
  Port {port}
  User board
  IdentityFile {folder}/id
  UserKnownHostsFile {folder}/known_hosts
"""
BEHIND = """
Host desk
  ProxyJump jump
  HostName 127.0.0.1
Host jump
  HostName 127.0.0.1
Host desk jump
  Port {port}
  User board
  IdentityFile {folder}/id
  UserKnownHostsFile {folder}/known_hosts
"""


SETUPS: dict[str, SetUp] = {
    "sshd": SetUp(),
    "sshd with SFTP": SetUp(options=("Subsystem sftp internal-sftp",)),
    "sshd with one session": SetUp(options=("MaxSessions 1",)),
    "sshd with a banner": SetUp(options=("Banner {folder}/host_key.pub", "PrintMotd yes")),
    "a greeting of the shell": SetUp(shell="/bin/bash", bashrc="echo Welcome; printf 'no line end'"),
    "a shell that prints errors": SetUp(shell="/bin/bash", bashrc="echo oops >&2; no-such-program"),
    "ForceCommand that runs the command": SetUp(options=('ForceCommand exec sh -c "$SSH_ORIGINAL_COMMAND"',)),
    "command= that runs the command": SetUp(allowed='command="eval \\"$SSH_ORIGINAL_COMMAND\\"" '),
    "no terminal, no forwarding": SetUp(options=("PermitTTY no", "DisableForwarding yes")),
    "current algorithms alone": SetUp(
        options=(
            "Ciphers aes128-gcm@openssh.com",
            "KexAlgorithms curve25519-sha256@libssh.org",
            "MACs hmac-sha2-256",
        )
    ),
    "an outdated cipher alone": SetUp(options=("Ciphers 3des-cbc",)),
    "an RSA key": SetUp(key="rsa"),
    "an ECDSA key": SetUp(key="ecdsa"),
    "an alias of ssh_config": SetUp(
        ssh_config=ALIAS, entry={"host": "desk", "port": "", "user": "", "key": "", "known_hosts": ""}
    ),
    "ProxyJump": SetUp(
        ssh_config=BEHIND, entry={"host": "desk", "port": "", "user": "", "key": "", "known_hosts": ""}
    ),
    "user@host": SetUp(entry={"host": "board@127.0.0.1", "user": ""}),
    "host:port": SetUp(entry={"host": "127.0.0.1:{port}", "port": ""}),
    "ssh://user@host:port": SetUp(entry={"host": "ssh://board@127.0.0.1:{port}", "port": "", "user": ""}),
    "IPv6": SetUp(address="::1", entry={"host": "[::1]:{port}", "port": ""}),
    "~ in each path": SetUp(
        plant=python_of_the_home,
        entry={"python": "~/npu/bin/python3", "work_folder": "~/work", "lease_folder": "~/lease"},
    ),
    "python by a script": SetUp(plant=python_by_script, entry={"python": "{folder}/root-python"}),
    "modules of Python's names in the home": SetUp(plant=modules_in_the_home),
    "hashed names of hosts": SetUp(plant=hashed_names),
    "a damaged line of another host": SetUp(known="other !!\n[{address}]:{port} {public}\n"),
    "a damaged line, and a good one": SetUp(
        known="[{address}]:{port} ssh-rsa A\n[{address}]:{port} {public}\n"
    ),
    "an authority, and the board's key": SetUp(
        known="@cert-authority * {public}\n[{address}]:{port} {public}\n"
    ),
    "a slow link": SetUp(plant=slow_link),
    "dropbear": SetUp(DROPBEAR),
    "dropbear without passwords": SetUp(DROPBEAR, options=("-s", "-j", "-k")),
    "dropbear with an RSA key": SetUp(DROPBEAR, key="rsa"),
    "dropbear with a greeting": SetUp(DROPBEAR, shell="/bin/bash", bashrc="echo Welcome"),
    "dropbear with a banner": SetUp(DROPBEAR, options=("-b", "{folder}/passwd")),
    "dropbear with IPv6": SetUp(DROPBEAR, address="::1"),
}


@pytest.mark.parametrize("name", SETUPS)
def test_a_session_works(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = os.urandom(300_000)
    with opened(SETUPS[name], tmp_path, monkeypatch) as (_, board), BoardSession(board) as session:
        assert session.facts()["virtual"] is True
        assert session.doctor()
        folder = session.files.put({"content": content})
        (stored,) = (tmp_path / "home").rglob(f"{folder}/content")
        assert stored.read_bytes() == content
        assert set(session.lease.holders()) == {"session", "reserved"}
