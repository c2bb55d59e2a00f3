"""``rknn-harness toolkits``: versions, environments, images, locks and wheels."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from rknn_harness.commands.options import errors_as_exit_codes
from rknn_harness.records.outcomes import ExitCode
from sklearn2rknn.errors import (
    EngineError,
    EngineMissingError,
    ImageMissingError,
    OptionError,
    Sklearn2RknnError,
    WheelError,
)
from sklearn2rknn.toolkit.pins.versions import (
    DEBIAN_PYTHON,
    ToolkitVersion,
    toolkit_version,
    toolkit_versions,
)

_wheel = click.option(
    "--wheel",
    type=click.Path(path_type=Path),
    help="The vendor's file, for a version that no package index has.",
)


@click.group()
def toolkits() -> None:
    """Make, list, verify and remove what the toolkit's versions run in.

    \b
    rknn-harness toolkits list                the versions, and what is installed of each
    rknn-harness toolkits make 2.3.2          its virtual environment
    rknn-harness toolkits build 2.3.2         its image, for a container
    rknn-harness toolkits verify              whether locks, wheels and images are unchanged
    """  # noqa: D301


@toolkits.command("list", epilog="Example: rknn-harness toolkits list")
def list_versions() -> None:
    """List the versions, and what of each is on this machine."""
    from rich.console import Console
    from rich.table import Table

    from sklearn2rknn.toolkit.venv import environment_folders

    table = Table(box=None, pad_edge=False)
    titles = "version Python opset format precisions wheel venv image run defects"
    for title in titles.split():
        table.add_column(title, overflow="fold")
    for version in toolkit_versions():
        entry = toolkit_version(version)
        table.add_row(
            version,
            " ".join(entry.wheel_pythons),
            f"<={entry.opset_ceiling}",
            str(entry.model_format),
            " ".join(entry.config),
            entry.wheel.source,
            "yes" if environment_folders(version) else "-",
            _image(version),
            "yes" if entry.run else "not run",
            " ".join(defect.id for defect in entry.defects) or "none known",
        )
    Console(width=160 if not sys.stdout.isatty() else None).print(table)


def _image(version: str) -> str:
    from sklearn2rknn.toolkit.containers.image import find_image

    try:
        return f"{find_image(version).size / 1e6:.0f} MB"
    except EngineMissingError:
        return "no engine"
    except ImageMissingError:
        return "-"
    except EngineError as error:
        return type(error).__name__.removesuffix("Error").removeprefix("Image").lower()


@toolkits.command(epilog="Example: rknn-harness toolkits make 2.3.2")
@click.argument("version")
@_wheel
def make(version: str, wheel: Path | None) -> None:
    """Make the virtual environment of VERSION, if it is not there yet."""
    from sklearn2rknn.toolkit.pins.wheel import keep_wheel
    from sklearn2rknn.toolkit.venv import ensure_environment

    with errors_as_exit_codes():
        if wheel is not None:
            keep_wheel(_needs_wheel(version), wheel)
        click.echo(ensure_environment(version).path)


@toolkits.command(epilog="Example: rknn-harness toolkits remove 2.3.2 --image")
@click.argument("version")
@click.option("--image", is_flag=True, help="Remove the image, not the environments.")
def remove(version: str, image: bool) -> None:
    """Remove the virtual environments of VERSION, or its image."""
    from sklearn2rknn.toolkit.containers.image import remove_image
    from sklearn2rknn.toolkit.venv import remove_environments

    with errors_as_exit_codes():
        if image:
            toolkit_version(version)
            click.echo("removed" if remove_image(version) else "there was none")
        else:
            click.echo("\n".join(map(str, remove_environments(version))) or "there was none")


@toolkits.command(epilog="Example: rknn-harness toolkits lock 2.3.2")
@click.argument("version")
def lock(version: str) -> None:
    """Make the lock of VERSION from its requirements.in: every wheel by name, version and sha256."""
    from sklearn2rknn.toolkit.pins.lock import write_lock

    with errors_as_exit_codes():
        click.echo(write_lock(version))


@toolkits.command("verify", epilog="Example: rknn-harness toolkits verify 2.3.2")
@click.argument("versions", nargs=-1)
def verify_versions(versions: tuple[str, ...]) -> None:
    """Check that locks, kept wheels and images are as they were made; of VERSIONS, or of all.

    Exits with 1 where one is not.
    """
    from rich.console import Console
    from rich.table import Table

    from sklearn2rknn.toolkit.verification import verify

    table = Table(box=None, pad_edge=False, show_header=False)
    wrong = False
    with errors_as_exit_codes():
        for version in versions or toolkit_versions():
            for finding in verify(version):
                wrong |= finding.ok is False
                mark = {True: "[green]ok[/]", False: "[red]no[/]", None: "-"}[finding.ok]
                table.add_row(mark, finding.subject, finding.text)
    Console(soft_wrap=True).print(table)
    sys.exit(int(ExitCode.CONFORMANCE if wrong else ExitCode.CLEAN))


@toolkits.command(epilog="Example: rknn-harness toolkits build 2.3.2")
@click.argument("version", required=False)
@_wheel
@click.option("--all", "every", is_flag=True, help="Every version whose wheel is available.")
@click.option(
    "--base", help="Image to build from.  [default: the one of `toolkits base`, else the pinned one]"
)
def build(version: str | None, wheel: Path | None, every: bool, base: str | None) -> None:
    """Build the image of VERSION, from its lock and without a network."""
    from sklearn2rknn.toolkit.containers.image import build_image

    if every == bool(version) or (every and wheel):
        raise click.UsageError("Give a version, with --wheel where it needs one, or --all.")
    failed = False
    with errors_as_exit_codes():
        if wheel is not None and version:
            _needs_wheel(version)
        for each in toolkit_versions() if every else (str(version),):
            try:
                image = build_image(each, wheel=wheel, base=base)
            except WheelError as error:
                if not every:
                    raise
                click.echo(f"{each}: left out. {error}", err=True)
            except Sklearn2RknnError as error:
                if not every:
                    raise
                failed = True
                click.echo(f"{each}: {error}", err=True)
            else:
                note = "" if toolkit_version(each).run else ", not run by the project yet"
                click.echo(f"{each}: {image.id} ({image.size / 1e6:.0f} MB{note})")
    sys.exit(int(ExitCode.INFRASTRUCTURE if failed else ExitCode.CLEAN))


def _needs_wheel(version: str) -> ToolkitVersion:
    entry = toolkit_version(version)
    if entry.wheel.source != "repository":
        raise OptionError(f"Toolkit {version} comes from a package index by its lock; leave --wheel out.")
    return entry


@toolkits.command(epilog="Example: rknn-harness toolkits base --python 3.11")
@click.option("--python", default=DEBIAN_PYTHON, show_default=True, help="Python of the image.")
@click.option(
    "--interpreter",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of a CPython (its bin and lib), for a Python that Debian does not have.",
)
@click.option("--check", is_flag=True, help="Only check that the registry has the pinned images.")
def base(python: str, interpreter: Path | None, check: bool) -> None:
    """Make a base image from Debian's packages, for where no registry is reachable."""
    from sklearn2rknn.toolkit.containers.base_image import check_pins, make_base_image

    with errors_as_exit_codes():
        if check:
            for image in check_pins():
                click.echo(f"ok {image}")
        else:
            click.echo(make_base_image(python, interpreter))
