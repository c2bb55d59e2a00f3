"""What commands share: paths, and an end with a message where standard output takes no more."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from scirknn.text import drop_output, printable


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


class OutputErrors(click.Command):
    """A command, or group, whose output may meet a full disk; `output_error_code` is its exit code then."""

    output_error_code = 1

    def main(self, *arguments: Any, **options: Any) -> Any:
        """Run the command line, as click does."""
        try:
            return super().main(*arguments, **options)
        except (OSError, UnicodeEncodeError) as error:
            drop_output()
            click.echo(f"Error: standard output cannot be written: {printable(str(error))}", err=True)
            sys.exit(self.output_error_code)
