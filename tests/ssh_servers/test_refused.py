"""Boards as people set them up wrongly, behind real servers: the error names the cause and the cure."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from rknn_harness.boards.session.session import BoardSession
from rknn_harness.errors import (
    AuthenticationError,
    BoardDeadlineError,
    BoardsFileError,
    ConnectionLostError,
    HostKeyError,
    ProvisioningError,
)
from tests.ssh_servers.plants import (
    little_patience,
    nobody_listens,
    one_connection_too_many,
    python_without_numpy,
    silent_server,
    sudo_that_asks,
)
from tests.ssh_servers.servers import DROPBEAR
from tests.ssh_servers.setups import SetUp, opened

ANOTHER_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDsFdMHwELPRkoCOxzuLgp8Nh8qXva0hn1ERQl85GAut"
SHELL = "sudo chsh -s /bin/sh board"
SETUPS: dict[str, SetUp] = {
    "no session": SetUp(
        options=("MaxSessions 0",), error=ProvisioningError, words=("refuses a session", "MaxSessions 10")
    ),
    "passwords alone": SetUp(
        options=("PubkeyAuthentication no",),
        error=AuthenticationError,
        words=(
            "takes password",
            "'PubkeyAuthentication yes'",
            "ssh-copy-id -i {folder}/id.pub -p {port} board@",
        ),
    ),
    "a key that is not let in": SetUp(
        allowed=None,
        error=AuthenticationError,
        words=("refuses board with the key {folder}/id", "ssh-copy-id -i"),
    ),
    "a key of a type that is not taken": SetUp(
        key="rsa",
        options=("PubkeyAcceptedAlgorithms ssh-ed25519",),
        error=AuthenticationError,
        words=("keys of this type", "ssh-keygen -t ed25519"),
    ),
    "another user": SetUp(
        entry={"user": "pi"}, error=AuthenticationError, words=("refuses pi with the key", "AllowUsers")
    ),
    "a changed host key": SetUp(
        known="[{address}]:{port} {other}\n",
        error=HostKeyError,
        words=("but {folder}/known_hosts has", "anew"),
    ),
    "an unknown host key": SetUp(
        known="", error=HostKeyError, words=("ssh-keyscan -p {port} 127.0.0.1 >> {folder}/known_hosts",)
    ),
    "a revoked host key": SetUp(
        known="[{address}]:{port} {public}\n@revoked * {public}\n",
        error=HostKeyError,
        words=("line 2 of {folder}/known_hosts revokes", "sed -i 2d {folder}/known_hosts"),
    ),
    "an authority alone": SetUp(
        known="@cert-authority * {public}\n",
        error=HostKeyError,
        words=("line 1 trusts an authority's certificates", "ssh-keyscan"),
    ),
    "a damaged line alone": SetUp(
        known="[{address}]:{port} ssh-ed25519 AAAA!\n",
        error=HostKeyError,
        words=("line 1 is damaged", "sed -i 1d {folder}/known_hosts", "ssh-keyscan"),
    ),
    "ForceCommand that runs another": SetUp(
        options=("ForceCommand echo Maintenance until Monday",),
        error=ProvisioningError,
        words=("status 0", "Maintenance until Monday", "ForceCommand in /etc/ssh/sshd_config"),
    ),
    "ForceCommand internal-sftp": SetUp(
        options=("ForceCommand internal-sftp",),
        error=ProvisioningError,
        words=("allows sftp connections only", "ForceCommand in /etc/ssh/sshd_config"),
    ),
    "ForceCommand that waits": SetUp(
        options=("ForceCommand sleep 600",),
        plant=little_patience,
        error=BoardDeadlineError,
        words=("did not start within 0.3 s", "ForceCommand in /etc/ssh/sshd_config"),
    ),
    "command= that runs another": SetUp(
        allowed='command="echo $SSH_ORIGINAL_COMMAND" ',
        error=ProvisioningError,
        words=("does not start", "command= in ~/.ssh/authorized_keys"),
    ),
    "a start-up file that ends the shell": SetUp(
        shell="/bin/bash", bashrc="exit 0", error=ProvisioningError, words=("status 0", "start-up files")
    ),
    "a shell that lets nobody in": SetUp(
        shell="/usr/sbin/nologin", error=ProvisioningError, words=("status 1", "not available", SHELL)
    ),
    "a restricted shell": SetUp(shell="/bin/rbash", error=ProvisioningError, words=("restricted", SHELL)),
    "an unknown host": SetUp(
        entry={"host": "desk.invalid"},
        error=ConnectionLostError,
        words=("'desk.invalid'", "HostName in ~/.ssh/config"),
    ),
    "sudo in python": SetUp(
        entry={"python": "sudo -n python3"},
        error=BoardsFileError,
        words=("'sudo -n python3', a command line", "exec sudo -n python3"),
    ),
    "sudo that asks": SetUp(
        plant=sudo_that_asks,
        entry={"python": "{folder}/asking-python"},
        error=ProvisioningError,
        words=("a password is required", "NOPASSWD"),
    ),
    "no python": SetUp(
        entry={"python": "python3.99"},
        error=ProvisioningError,
        words=("python3.99 does not start", "status 127", "command -v python3"),
    ),
    "another program for python": SetUp(
        entry={"python": "cat"},
        error=ProvisioningError,
        words=("cat does not start", "{folder}/id -p {port} board@127.0.0.1 cat -V", "Python 3.8 or later"),
    ),
    "no numpy": SetUp(
        plant=python_without_numpy,
        entry={"python": "{folder}/bare-python"},
        error=ProvisioningError,
        words=("No module named 'numpy'", "apt install python3-numpy"),
    ),
    "a work folder that cannot be written": SetUp(
        entry={"work_folder": "/proc/work"},
        error=ProvisioningError,
        words=("cannot write the runner into /proc/work", "may write there", "'work_folder'"),
    ),
    "a lease folder that cannot be written": SetUp(
        entry={"lease_folder": "/proc/lease"},
        error=ProvisioningError,
        words=("cannot keep its lease in /proc/lease", "set 'lease_folder'"),
    ),
    "another user's home": SetUp(
        entry={"work_folder": "~pi/work"}, error=BoardsFileError, words=("'~pi/work'", "echo ~pi")
    ),
    "too many connections": SetUp(
        options=("MaxStartups 1",),
        plant=one_connection_too_many,
        error=ConnectionLostError,
        words=("MaxStartups in /etc/ssh/sshd_config",),
    ),
    "a server that says nothing": SetUp(
        plant=silent_server, error=ConnectionLostError, words=("not as an SSH server does", "Correct 'port'")
    ),
    "nobody at the port": SetUp(
        plant=nobody_listens, error=ConnectionLostError, words=("refused", "Check that the board is on")
    ),
    "outdated key exchange alone": SetUp(
        options=("KexAlgorithms diffie-hellman-group1-sha1",),
        error=ProvisioningError,
        words=("no acceptable kex algorithm", "outdated", "KexAlgorithms"),
    ),
    "a key exchange that this machine lacks": SetUp(
        options=("KexAlgorithms sntrup761x25519-sha512@openssh.com",),
        error=ProvisioningError,
        words=("no acceptable kex algorithm", "limited by its configuration"),
    ),
    "a password in the entry": SetUp(
        entry={"password": "orangepi"}, error=BoardsFileError, words=("password", "ssh-copy-id")
    ),
    "dropbear, and a key that is not let in": SetUp(
        DROPBEAR,
        allowed=None,
        error=AuthenticationError,
        words=("refuses board with the key", "ssh-copy-id -i"),
    ),
    "dropbear, and a key of another type": SetUp(
        DROPBEAR,
        key="rsa",
        allowed=f"{ANOTHER_KEY}\n# ",
        error=AuthenticationError,
        words=("keys of this type", "ssh-keygen -t ed25519"),
    ),
    "dropbear, and a shell that it does not know": SetUp(
        DROPBEAR, shell="/opt/none", error=AuthenticationError, words=("/etc/shells",)
    ),
    "dropbear, and no numpy": SetUp(
        DROPBEAR,
        plant=python_without_numpy,
        entry={"python": "{folder}/bare-python"},
        error=ProvisioningError,
        words=("No module named 'numpy'", "apt install python3-numpy"),
    ),
    "dropbear with a forced command": SetUp(
        DROPBEAR, options=("-c", "echo no"), error=ProvisioningError, words=("status 0", "no. Look at")
    ),
    "dropbear, and a changed host key": SetUp(
        DROPBEAR, known="[{address}]:{port} {other}\n", error=HostKeyError, words=("another machine answers",)
    ),
}


@pytest.mark.parametrize("name", SETUPS)
def test_an_error_names_cause_and_cure(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup = SETUPS[name]
    assert setup.error is not None
    with contextlib.ExitStack() as stack:
        caught = stack.enter_context(pytest.raises(setup.error))
        _, board = stack.enter_context(opened(setup, tmp_path, monkeypatch))
        stack.enter_context(BoardSession(board))
    port = (tmp_path / "boards.toml").read_text().partition("port = ")[2].split()[0]
    for word in setup.words:
        assert word.replace("{folder}", str(tmp_path)).replace("{port}", port) in str(caught.value)
