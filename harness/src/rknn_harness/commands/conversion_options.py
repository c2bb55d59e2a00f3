"""Where a run's conversions are done and kept: options of ``rknn-harness run``, checked before any work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import click

from sklearn2rknn.file_path import FilePath


def conversion_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    file = FilePath(exists=True, dir_okay=False)
    for option in reversed(
        [
            click.option(
                "--store",
                type=FilePath(file_okay=False),
                help="Folder of conversions: those in it are taken and not done again, new ones are added.",
            ),
            click.option(
                "--scheduler",
                help="Address of a dask.distributed scheduler whose workers do the conversions, such as "
                "tcp://127.0.0.1:8786.",
            ),
            click.option("--tls-ca", type=file, help="Its authority's certificate, for tls://HOST:PORT."),
            click.option("--tls-cert", type=file, help="This machine's certificate for it."),
            click.option("--tls-key", type=file, help="The certificate's key."),
        ]
    ):
        command = option(command)
    return command


def check_conversion_options(given: Mapping[str, Any]) -> None:
    """Raise `click.UsageError` where options do not go together."""
    files = [name for name in ("tls_ca", "tls_cert", "tls_key") if name in given]
    if files and "scheduler" not in given:
        option = files[0].replace("_", "-")
        raise click.UsageError(
            f"--{option} {given[files[0]]} is for a scheduler. Give --scheduler tls://HOST:PORT."
        )
    for name in ("scheduler", "store"):
        if name in given and given.get("guard") == "off":
            raise click.UsageError(
                f"--{name} is for conversions with the converter's guards. Leave it out, or --guard off."
            )
