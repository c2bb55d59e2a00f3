"""Paths on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

__all__ = ["FilePath"]


class FilePath(click.Path):
    """A path whose ``~`` is the user's home, as in ``--rows=~/X.csv`` too."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Expand the path, then check it."""
        try:
            expanded = Path(value).expanduser()
        except RuntimeError:
            self.fail(f"{str(value)!r}: there is no such user's home. Write the path in full.", param, ctx)
        return super().convert(expanded, param, ctx)
