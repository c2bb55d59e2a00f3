"""A set-up: a real server, an entry of boards.toml, and what is wrong with either."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import attrs
import pytest

from rknn_harness.boards.board import Board
from rknn_harness.boards.boards_file import read_boards
from rknn_harness.errors import HarnessError
from tests.ssh_servers.servers import SSHD, Site, make_key, require, script, serving

__all__ = ["SetUp", "opened"]

Plant = Callable[[Site, pytest.MonkeyPatch], contextlib.AbstractContextManager[object]]

USUAL = {
    "host": "{address}",
    "port": "{port}",
    "user": "board",
    "key": "id",
    "known_hosts": "known_hosts",
    "python": sys.executable,
    "lease_folder": "{folder}/lease",
}


@attrs.frozen
class SetUp:
    """A server, an entry of boards.toml, and what comes of them.

    Texts may name ``{folder}``, ``{address}``, ``{port}`` and ``{public}``, the server's host key.

    Attributes
    ----------
    options : tuple of str
        Lines of sshd_config that come first, or arguments of dropbear.
    shell, bashrc : str
        The user's shell, and what is in its start-up file.
    key : str
        Type of the key that the entry names.
    allowed : str or None
        What precedes that key in authorized_keys; None where it is not there.
    known : str
        The file of host keys.
    entry : mapping of str to str
        Fields of the entry that differ from `USUAL`; an empty one is left out.
    ssh_config : str
        What the user's ssh reads.
    plant : callable or None
        What else is done, while the session is opened.
    error : type or None
        None where a session works.
    words : tuple of str
        Of the error's text: the value that is wrong, the cause, and the cure.
    """

    program: str = SSHD
    options: tuple[str, ...] = ()
    shell: str = "/bin/sh"
    bashrc: str = ""
    address: str = "127.0.0.1"
    key: str = "ed25519"
    allowed: str | None = ""
    known: str = "[{address}]:{port} {public}\n"
    entry: Mapping[str, str] = attrs.field(factory=dict)
    ssh_config: str = ""
    plant: Plant | None = None
    error: type[HarnessError] | None = None
    words: tuple[str, ...] = ()


@contextlib.contextmanager
def opened(setup: SetUp, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[Site, Board]]:
    """Run a set-up's server, and yield it with the board of the entry."""
    require("ssh", "ssh-keygen", *(["bash"] if "bash" in setup.shell else []))
    own = make_key(folder / "id", setup.key)
    (folder / "home/.ssh").mkdir(parents=True, mode=0o700)
    (folder / "home/.bashrc").write_text(setup.bashrc)
    if setup.allowed is not None:
        (folder / "home/.ssh/authorized_keys").write_text(f"{setup.allowed}{own}\n")
    script(folder / "bin/ssh", f'exec {shutil.which("ssh")} -F {folder}/ssh_config "$@"')
    patch.setenv("PATH", str(folder / "bin"), prepend=":")
    options = [option.replace("{folder}", str(folder)) for option in setup.options]
    with contextlib.ExitStack() as stack:
        try:
            site = stack.enter_context(
                serving(setup.program, folder, options, shell=setup.shell, address=setup.address)
            )
        except OSError as error:
            if ":" not in setup.address:
                raise
            pytest.skip(f"needs IPv6 on loopback: {error}")
        other = make_key(folder / "other")
        (folder / "known_hosts").write_text(_filled(setup.known, site).replace("{other}", other))
        (folder / "ssh_config").write_text(_filled(setup.ssh_config, site))
        fields = {**USUAL, **setup.entry}
        lines = [f"{name} = {_toml(name, _filled(text, site))}" for name, text in fields.items() if text]
        (folder / "boards.toml").write_text("\n".join(["[board.desk]", *lines, 'device = "virtual"']))
        if setup.plant is not None:
            stack.enter_context(setup.plant(site, patch))
        yield site, read_boards(folder / "boards.toml")["desk"]


def _filled(text: str, site: Site) -> str:
    for name in ("folder", "address", "port", "public"):
        text = text.replace(f"{{{name}}}", str(getattr(site, name)))
    return text


def _toml(name: str, text: str) -> str:
    return text if name == "port" else f'"{text}"'
