"""Registries of the readers of scikit-learn's classes, open to other packages."""

from __future__ import annotations

import importlib
import pkgutil
import threading
from collections.abc import Callable
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

Reader = TypeVar("Reader", bound=Callable[..., Any])


class Registry(Generic[Reader]):
    """Readers by the exact class that each reads: a subclass may compute anything.

    Every module of a folder is an entry, imported at the first look-up; its readers register themselves with
    `reads`. So does a module, or a function that registers some, which another distribution names in an entry
    point.

    Parameters
    ----------
    folder : str
        Name of the package whose modules are the entries.
    group : str
        Group of the entry points.
    """

    def __init__(self, folder: str, group: str) -> None:
        self._folder, self._group = folder, group
        self._readers: dict[type, Reader] = {}
        self._is_complete = False
        self._completing = threading.RLock()

    def reads(self, *classes: type) -> Callable[[Reader], Reader]:
        """Register the decorated function as the reader of classes; the last one counts."""

        def register(reader: Reader) -> Reader:
            self._readers.update(dict.fromkeys(classes, reader))
            return reader

        return register

    def find(self, kind: type) -> Reader | None:
        """Return the reader of a class, or None."""
        self._complete()
        return self._readers.get(kind)

    def names(self) -> tuple[str, ...]:
        """Return the names of the classes that are read, sorted."""
        self._complete()
        return tuple(sorted(kind.__name__ for kind in self._readers))

    def full_names(self) -> frozenset[str]:
        """Return the names of the classes with their modules, as files have them."""
        self._complete()
        return frozenset(f"{kind.__module__}.{kind.__qualname__}" for kind in self._readers)

    def _complete(self) -> None:
        """Import the entries, once; other threads wait for it."""
        with self._completing:
            if self._is_complete:
                return
            self._is_complete = True  # before: an entry may look others up
            package = importlib.import_module(self._folder)
            for module in pkgutil.iter_modules(package.__path__, f"{self._folder}."):
                importlib.import_module(module.name)
            for point in entry_points(group=self._group):
                entry = point.load()
                if callable(entry):
                    entry()
