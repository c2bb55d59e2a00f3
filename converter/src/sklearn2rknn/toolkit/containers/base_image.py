"""A base image made from Debian's packages, for where no registry is reachable."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from scirknn.temporary import TemporaryFolder
from sklearn2rknn.errors import DiskFullError, NetworkError, ToolkitError
from sklearn2rknn.progress import progress
from sklearn2rknn.toolkit.containers.engine import connect, engine_failure, typed_engine_errors
from sklearn2rknn.toolkit.containers.image import BASE_REPOSITORY, base_tag, follow
from sklearn2rknn.toolkit.pins.versions import DEBIAN_PYTHON, base_images

if TYPE_CHECKING:
    import docker

SUITE = "bookworm"
"""Its Python is `DEBIAN_PYTHON`."""

EPOCH = "1700000000"
"""SOURCE_DATE_EPOCH: with it two makings from the same packages give the same layer."""

PREFIX = "/opt/python"
ENVIRONMENT = 'ENV PATH="/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"'
UNUSED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*")


def make_base_image(python: str = DEBIAN_PYTHON, interpreter: Path | None = None) -> str:
    """Make the base image for a Python from Debian's packages and return its tag.

    Any Python but Debian's own ``"3.11"`` is copied from `interpreter`, the folder of a CPython built for
    this machine (``bin``, ``lib``).

    Raises
    ------
    ToolkitError
        mmdebstrap is missing or failed, or `interpreter` is no such Python.
    NetworkError
        Debian's packages cannot be fetched.
    EngineError
        No engine answers, or it fails.
    """
    if python != DEBIAN_PYTHON and interpreter is None:
        raise ToolkitError(
            f"Debian {SUITE} has Python {DEBIAN_PYTHON}; for {python} give the folder of a CPython {python} "
            "built for this machine (its bin and lib): --interpreter FOLDER."
        )
    if interpreter is not None and not (interpreter / "bin" / f"python{python}").is_file():
        raise ToolkitError(f"{interpreter} has no bin/python{python}.")
    client = connect()
    if interpreter is not None:
        if not client.images.list(base_tag(DEBIAN_PYTHON)):
            make_base_image()
        _with_interpreter(client, interpreter, python)
        return base_tag(python)
    with TemporaryFolder() as folder:
        tree = folder / "base.tar"
        with progress("Making a base image from Debian's packages"):
            _debian(tree)
            with typed_engine_errors("Making the base image"):
                answer = client.api.import_image_from_file(
                    str(tree), repository=BASE_REPOSITORY, tag=python, changes=[ENVIRONMENT]
                )
    if '"error"' in str(answer):
        raise engine_failure(str(answer), "Making the base image")
    return base_tag(python)


def check_pins() -> Iterator[str]:
    """Yield each pinned base image once the registry has been seen to have it.

    Raises
    ------
    RegistryError
        The registry is not reachable or has no such image.
    """
    client = connect()
    for image in base_images():
        with typed_engine_errors(f"Looking for {image}"):
            client.images.get_registry_data(image)
        yield image


def _debian(tree: Path) -> None:
    command = shutil.which("mmdebstrap")
    if command is None:
        raise ToolkitError(
            "There is no mmdebstrap, which makes the base image: apt-get install mmdebstrap. Where a "
            "registry is reachable no base image needs to be made."
        )
    arguments = [command, "--quiet", "--variant=minbase", "--include=python3,python3-venv"]
    arguments += [f"--dpkgopt=path-exclude={path}" for path in UNUSED]
    arguments += [
        '--customize-hook=rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/*.bin',
        SUITE,
        str(tree),
    ]
    done = subprocess.run(
        arguments,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH},
    )
    if done.returncode == 0:
        return
    text = done.stderr.strip()[-600:]
    if "No space left on device" in done.stderr:
        raise DiskFullError(f"The base image cannot be made: the disk is full. {text}\nMake room.")
    if re.search(r"Could not resolve|Temporary failure|Could not connect|Failed to fetch", done.stderr):
        raise NetworkError(
            f"Debian's packages cannot be fetched:\n{text}\nCheck the network and apt's sources."
        )
    raise ToolkitError(f"mmdebstrap failed:\n{text}")


def _with_interpreter(client: docker.DockerClient, interpreter: Path, python: str) -> None:
    """Add a CPython to Debian's base, without its tests, where everyone may read it."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if re.search(r"/(__pycache__|test|tests|idlelib|site-packages)(/|$)|\.a$", entry.name):
            return None
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = ""
        entry.mtime = int(EPOCH)
        return entry

    recipe = (
        f"FROM {base_tag(DEBIAN_PYTHON)}\nCOPY python {PREFIX}\nENV LD_LIBRARY_PATH={PREFIX}/lib\n"
        f"RUN ln -s {PREFIX}/bin/python{python} /usr/local/bin/"
        f" && python{python} -c 'import ensurepip, ssl, venv'\n"
    ).encode()
    with tempfile.TemporaryFile() as context:
        with tarfile.open(fileobj=context, mode="w") as archive:
            entry = tarfile.TarInfo("Dockerfile")
            entry.size = len(recipe)
            archive.addfile(entry, io.BytesIO(recipe))
            for part in ("bin", "lib"):
                archive.add(interpreter / part, f"python/{part}", filter=plain)
        context.seek(0)
        doing = f"Making the base image for Python {python}"
        with typed_engine_errors(doing):
            follow(
                client.api.build(
                    fileobj=context,
                    custom_context=True,
                    tag=base_tag(python),
                    network_mode="none",
                    rm=True,
                    forcerm=True,
                    decode=True,
                ),
                doing,
            )
