"""Board providers: who hands out boards of a kind, and the registry of them.

To add a kind is to add a file here, named as the kind, with a class under `board_provider`. Another package
names its class as an entry point of the group ``rknn_harness.board_providers``::

    [project.entry-points."rknn_harness.board_providers"]
    mylab = "mylab.boards:MyLabProvider"

An entry of ``boards.toml`` chooses it: ``kind = "mylab"``.
"""

from __future__ import annotations

import abc
import importlib
import importlib.metadata
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from rknn_harness.boards import providers
from rknn_harness.boards.board import Board
from rknn_harness.boards.board_entry import BoardEntry
from rknn_harness.boards.claim import Claim

ENTRY_POINTS = "rknn_harness.board_providers"

_PROVIDERS: dict[str, type[BoardProvider]] = {}


class BoardProvider(abc.ABC):
    """Hands out one board.

    Parameters
    ----------
    board : Board
        As its entry describes it.

    Attributes
    ----------
    made_for_each_use : bool
        Whether every acquisition makes a board of its own, which nobody else can take.
    """

    made_for_each_use: ClassVar[bool] = False

    def __init__(self, board: Board) -> None:
        self.board = board

    @classmethod
    @abc.abstractmethod
    def read(cls, entry: BoardEntry) -> dict[str, Any]:
        """Take this kind's own fields out of an entry, and return fields of `Board`.

        Raises
        ------
        BoardsFileError
        """

    @abc.abstractmethod
    def acquire(self, folder: Path, claim: Claim) -> Board:
        """Take the board, and return how to reach it.

        Parameters
        ----------
        folder : pathlib.Path
            For files that the provider needs meanwhile.
        claim : Claim
            Who wants it, what for, and how long another holder is waited for.

        Returns
        -------
        Board
            Of kind "ssh", with address, user and keys.

        Raises
        ------
        BoardBusyError
            Another has it.
        BoardRefusedError, InfraError
            It is not handed out.
        """

    def check_held(self) -> None:  # noqa: B027
        """Raise where the acquired board is ours no more; before each use of it.

        Raises
        ------
        BoardRefusedError
        """

    def release(self) -> None:  # noqa: B027
        """Give the board back; more than once does no harm."""

    def power_cycle(self) -> bool:
        """Switch the board's power off and on, without waiting for it to boot.

        Returns
        -------
        bool
            False where its power cannot be switched.

        Raises
        ------
        PowerError
        """
        return False

    def facts(self) -> dict[str, Any]:
        """Return what the provider knows of the board beside what runs there, as JSON."""
        return {}


T = TypeVar("T", bound=type[BoardProvider])


def board_provider(kind: str) -> Callable[[T], T]:
    """Register the decorated class for a kind."""

    def register(provider: T) -> T:
        _PROVIDERS[kind] = provider
        return provider

    return register


def kinds() -> list[str]:
    """Return the kinds of boards that there are."""
    here = {module.name for module in pkgutil.iter_modules(providers.__path__)} - {"provider"}
    return sorted(here | set(_PROVIDERS) | {point.name for point in _entry_points()})


def provider_class(kind: str) -> type[BoardProvider]:
    """Return the provider of a kind.

    Raises
    ------
    ValueError
        There is none; the text names those that there are.
    """
    if kind not in kinds():
        raise ValueError(f"kinds of boards are {', '.join(kinds())}")
    if kind not in _PROVIDERS:
        points = [point for point in _entry_points() if point.name == kind]
        if points:
            _PROVIDERS[kind] = points[0].load()
        else:
            importlib.import_module(f"{providers.__name__}.{kind}")
    return _PROVIDERS[kind]


def provider_of(board: Board) -> BoardProvider:
    """Return a provider that hands out this board."""
    return provider_class(board.kind)(board)


def _entry_points() -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group=ENTRY_POINTS)
