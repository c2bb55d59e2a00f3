"""Why there is no connection to a board: the errors of libraries as ours, with the cause and the cure."""

from __future__ import annotations

import socket

import paramiko
from paramiko.ssh_exception import IncompatiblePeer

from rknn_harness.boards.board import Board
from rknn_harness.boards.ssh.known_hosts import KnownHosts
from rknn_harness.errors import (
    AuthenticationError,
    ConnectionLostError,
    HostKeyError,
    InfraError,
    ProtocolError,
    ProvisioningError,
)

_SSH_PORT = 22  # the only one that a file of host keys does not name


def infra_error(board: Board, doing: str, error: Exception) -> InfraError:
    """Return what an error of a library means for a board while `doing` something."""
    if isinstance(error, paramiko.BadHostKeyException):
        return host_key_error(board, error.key)
    if isinstance(error, paramiko.AuthenticationException):
        return _authentication_error(board, error)
    if isinstance(error, UnicodeDecodeError):
        return ProtocolError(f"{board.name} answered {doing} with {error}.")
    if isinstance(error, IncompatiblePeer):
        return ProvisioningError(
            f"{board.name} at {board.address} and this machine share no algorithm of SSH ({error}): those "
            "that its server offers are outdated, or limited by its configuration. Update its SSH server, "
            "or remove Ciphers, MACs, KexAlgorithms and HostKeyAlgorithms from /etc/ssh/sshd_config "
            "there."
        )
    if isinstance(error, paramiko.ChannelException):
        return ProvisioningError(
            f"{board.name} refuses a session while {doing} ({error}). A connection needs one: set "
            "'MaxSessions 10' in /etc/ssh/sshd_config there and restart its SSH server."
        )
    if isinstance(error, socket.gaierror):
        return ConnectionLostError(
            f"{board.name}: this machine knows no host {board.host!r} ({error.strerror}). Write the "
            "board's address for 'host' in its entry, or for HostName in ~/.ssh/config."
        )
    return _lost(board, doing, error)


def host_name(board: Board) -> str:
    """Return the board's name in a file of host keys."""
    return board.host if board.port == _SSH_PORT else f"[{board.host}]:{board.port}"


def known_hosts(board: Board) -> KnownHosts:
    """Return what the board's file of host keys has about it.

    Raises
    ------
    HostKeyError
        The file is missing or cannot be read.
    """
    try:
        return KnownHosts.read(board.known_hosts, host_name(board))
    except FileNotFoundError:
        raise HostKeyError(
            f"{board.name}: there is no file of host keys at {board.known_hosts}. {_trust_command(board)}"
        ) from None
    except OSError as error:
        raise HostKeyError(
            f"{board.name}: the file of host keys {board.known_hosts} cannot be read: {error.strerror}. "
            "Correct 'known_hosts' in the board's entry, or who may read the file."
        ) from None


def host_key_error(board: Board, key: paramiko.PKey) -> HostKeyError:
    """Return the error of a host key that is not trusted, with what the file has instead."""
    known, file = known_hosts(board), board.known_hosts
    shown = f"{board.name} at {board.address} shows the host key {key.fingerprint}"
    line = known.revoked.get(key.asbytes())
    if line is not None:
        return HostKeyError(
            f"{shown}, which line {line} of {file} revokes. Give the board a new key, with "
            "'sudo rm /etc/ssh/ssh_host_*_key*; sudo ssh-keygen -A' on its own console; or, if the line is "
            f"wrong, remove it with 'sed -i {line}d {file}'."
        )
    if known.keys:
        expected = ", ".join(each.fingerprint for each in known.keys)
        cure = (
            "If the board was installed anew, replace the line there; otherwise another machine answers at "
            "its address."
        )
        return HostKeyError(
            " ".join(filter(None, (f"{shown}, but {file} has {expected}.", known.remarks, cure)))
        )
    start = f"{shown}, and {file} has none for it."
    return HostKeyError(" ".join(filter(None, (start, known.remarks, _trust_command(board)))))


def _trust_command(board: Board) -> str:
    return (
        f"Put it there with 'ssh-keyscan -p {board.port} {board.host} >> {board.known_hosts}', and see that "
        f"'ssh-keygen -lf {board.known_hosts}' shows what the board shows on its own console: "
        "'cat /etc/ssh/ssh_host_*_key.pub | ssh-keygen -lf -'."
    )


def _authentication_error(board: Board, error: paramiko.AuthenticationException) -> AuthenticationError:
    """Return the error of a user or a key that is not let in."""
    start = f"{board.name} refuses {board.user} with the key {board.key} ({error})."
    methods = getattr(error, "allowed_types", ["publickey"])
    if "publickey" not in methods:
        return AuthenticationError(
            f"{start} Its SSH server takes {' or '.join(methods) or 'nothing'} alone, and keys are needed "
            "here: set 'PubkeyAuthentication yes' in /etc/ssh/sshd_config there, restart it, and let the "
            f"key in with '{_copy_key(board)}'."
        )
    return AuthenticationError(
        f"{start} Let it in with '{_copy_key(board)}'. If it is in ~/.ssh/authorized_keys there, its SSH "
        "server takes no keys of this type (make another with 'ssh-keygen -t ed25519'), does not let this "
        "user in (AllowUsers, a shell that is not in /etc/shells), or others may write to the user's home "
        "('chmod go-w ~ ~/.ssh')."
    )


def _copy_key(board: Board) -> str:
    return f"ssh-copy-id -i {board.key}.pub -p {board.port} {board.user}@{board.host}"


def _lost(board: Board, doing: str, error: Exception) -> ConnectionLostError:
    start = f"The connection to {board.name} failed while {doing}: {error or type(error).__name__}."
    if "protocol banner" in str(error):  # paramiko has no class for it
        return ConnectionLostError(
            f"{start} Something answers at {board.address}, and not as an SSH server does: another "
            "program, or a server with too many connections (MaxStartups in /etc/ssh/sshd_config there) "
            "or that does not take this machine (/etc/hosts.deny there). Correct 'port' in the board's "
            "entry, or try again later."
        )
    return ConnectionLostError(f"{start} Check that the board is on and that {board.address} can be reached.")
