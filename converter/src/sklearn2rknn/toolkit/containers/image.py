"""Images of the toolkit, built from ``containers/Dockerfile`` and a lock."""

from __future__ import annotations

import hashlib
import re
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import filelock

from scirknn.files import open_atomically, sha256_of_file
from scirknn.temporary import TemporaryFolder
from sklearn2rknn.errors import ImageMissingError, ImageStaleError, ToolkitError
from sklearn2rknn.progress import progress
from sklearn2rknn.toolkit.containers.engine import connect, engine_failure, typed_engine_errors
from sklearn2rknn.toolkit.pins.cache import cache_folder
from sklearn2rknn.toolkit.pins.lock import download_wheels
from sklearn2rknn.toolkit.pins.versions import TOOLKITS, ToolkitVersion, base_image, toolkit_version
from sklearn2rknn.toolkit.pins.wheel import keep_wheel, kept_wheel
from sklearn2rknn.toolkit.worker_path import WORKER

if TYPE_CHECKING:
    import docker

REPOSITORY = "sklearn2rknn-toolkit"
BASE_REPOSITORY = "sklearn2rknn-base"

LABEL_VERSION = "sklearn2rknn.version"
LABEL_LOCK = "sklearn2rknn.lock"
LABEL_RECIPE = "sklearn2rknn.recipe"
LABEL_SOURCE = "sklearn2rknn.source"
LABEL_STAGE = "sklearn2rknn.stage"


@attrs.frozen
class Image:
    """A verified image of the toolkit.

    Attributes
    ----------
    version : str
    id : str
        The engine's digest of it.
    lock_sha256 : str
        Digest of the lock that it was built from.
    size : int
        Bytes.
    """

    version: str
    id: str
    lock_sha256: str
    size: int


def image_tag(version: str) -> str:
    """Return the name that the image of `version` has."""
    return f"{REPOSITORY}:{version}"


def base_tag(python: str) -> str:
    """Return the name of the base image that ``toolkits base`` makes."""
    return f"{BASE_REPOSITORY}:{python}"


def image_python(entry: ToolkitVersion) -> str:
    """Return the Python of the image: Debian's own where the lock serves it."""
    return "3.11" if "3.11" in entry.pythons else entry.pythons[-1]


def lock_digest(entry: ToolkitVersion) -> str:
    """Return the sha256 of the version's lock."""
    return sha256_of_file(entry.folder / "requirements.lock")


def recipe_digest(entry: ToolkitVersion) -> str:
    """Return the sha256 of lock, Dockerfile, worker and stand-in of an image."""
    digest = hashlib.sha256()
    stand_in = sorted((TOOLKITS / "torch_stand_in").rglob("*.py"))
    for file in (entry.folder / "requirements.lock", TOOLKITS / "Dockerfile", WORKER, *stand_in):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def find_image(version: str, client: docker.DockerClient | None = None) -> Image:
    """Return the image of toolkit `version`.

    Raises
    ------
    ImageMissingError
        The engine has none.
    ImageStaleError
        It was built from another lock, worker or Dockerfile than this installation's.
    EngineError
        No engine answers, or it fails.
    """
    entry = toolkit_version(version)
    client = client or connect()  # it says so where docker is not installed
    import docker.errors

    cure = f"Build it: rknn-harness toolkits build {version}."
    with typed_engine_errors(f"Looking for the image of toolkit {version}"):
        try:
            image = client.images.get(image_tag(version))
        except docker.errors.ImageNotFound:
            raise ImageMissingError(f"There is no image {image_tag(version)}. {cure}") from None
    labels = image.labels
    for label, expected, what in (
        (LABEL_LOCK, lock_digest(entry), "lock"),
        (LABEL_RECIPE, recipe_digest(entry), "worker or Dockerfile"),
    ):
        if labels.get(label) != expected:
            raise ImageStaleError(
                f"The image {image_tag(version)} was built from another {what} ({labels.get(label)}, "
                f"expected {expected}). {cure}"
            )
    return Image(version, str(image.id), labels[LABEL_LOCK], int(image.attrs["Size"]))


def remove_image(version: str) -> bool:
    """Remove the image of `version`; return whether there was one."""
    import docker.errors

    client = connect()
    with typed_engine_errors(f"Removing the image of toolkit {version}"):
        try:
            client.images.remove(image_tag(version))
        except docker.errors.ImageNotFound:
            return False
    return True


def build_image(version: str, *, wheel: Path | None = None, base: str | None = None) -> Image:
    """Build the image of toolkit `version` from its lock.

    `wheel` is the vendor's file, for a version that no package index has; `base` the image to build from, by
    default the one that ``toolkits base`` made, else the pinned one.

    Raises
    ------
    WheelError
        The version needs a wheel; none was given, or it is not the vendor's.
    NetworkError, DownloadError
        The lock's wheels are not available.
    RegistryError
        There is no base image, and no registry to fetch it from.
    DiskFullError, EngineError
        The engine failed.
    """
    entry = toolkit_version(version)
    python = image_python(entry)
    extra = None
    if entry.wheel.source == "repository":
        extra = keep_wheel(entry, wheel) if wheel is not None else kept_wheel(entry, python)
    client = connect()
    with TemporaryFolder() as folder:
        with progress(f"Collecting the wheels of toolkit {version}"):
            lock = collect_wheels(entry, python, folder / "wheels", extra)
        # One at a time: a build's stage, while it is being made, looks like one that is left over.
        building = filelock.FileLock(str(cache_folder() / "build.lock"))
        with progress(f"Building the image of toolkit {version}"), building:
            (folder / "requirements.lock").write_text(lock, "utf-8")
            _build(client, entry, folder, base or _base(client, python), extra)
    return find_image(version, client)


def collect_wheels(entry: ToolkitVersion, python: str, folder: Path, extra: Path | None) -> str:
    """Put the lock's wheels, and `extra`, into `folder`; return the lock's text.

    They come from the cache folder when it has them all, so that a second build needs no network.
    """
    lock = entry.folder / "requirements.lock"
    cache = cache_folder() / "wheels"
    cache.mkdir(parents=True, exist_ok=True)
    folder.mkdir()
    try:
        download_wheels(lock, python, folder, only=cache)
    except ToolkitError:
        for wheel in download_wheels(lock, python, folder):
            with wheel.open("rb") as source, open_atomically(cache / wheel.name) as copy:
                shutil.copyfileobj(source, copy)
    text = lock.read_text("utf-8")
    if extra is not None:
        shutil.copyfile(extra, folder / extra.name)
        name, number = extra.name.split("-")[:2]
        text += f"{name.replace('_', '-')}=={number} \\\n    --hash=sha256:{sha256_of_file(extra)}\n"
    return text


def _base(client: docker.DockerClient, python: str) -> str:
    import docker.errors

    with typed_engine_errors("Looking for the base image"):
        try:
            client.images.get(base_tag(python))
        except docker.errors.ImageNotFound:
            return base_image(python)
    return base_tag(python)


def _build(
    client: docker.DockerClient, entry: ToolkitVersion, folder: Path, base: str, extra: Path | None
) -> None:
    doing = f"Building the image of toolkit {entry.version}"
    wheel = entry.wheel
    source = wheel.source if extra is None else f"{wheel.repository} {wheel.commit} {extra.name}"
    with tempfile.TemporaryFile() as context:
        _write_context(context, folder)
        context.seek(0)
        with typed_engine_errors(doing):
            messages = client.api.build(
                fileobj=context,
                custom_context=True,
                tag=image_tag(entry.version),
                buildargs={"BASE_IMAGE": base, "PYTHON": image_python(entry)},
                labels={
                    LABEL_VERSION: entry.version,
                    LABEL_LOCK: lock_digest(entry),
                    LABEL_RECIPE: recipe_digest(entry),
                    LABEL_SOURCE: source,
                },
                network_mode="none",
                rm=True,
                forcerm=True,
                decode=True,
                timeout=1800,
            )
            follow(messages, doing)
    # The build stage and the image that was replaced are as large as the new one and serve nothing.
    with typed_engine_errors(doing):
        for label in (f"{LABEL_STAGE}=build", f"{LABEL_VERSION}={entry.version}"):
            client.images.prune(filters={"dangling": True, "label": label})


def _write_context(file: Any, folder: Path) -> None:
    with tarfile.open(fileobj=file, mode="w") as archive:
        for path in (TOOLKITS / "Dockerfile", WORKER):
            archive.add(path, path.name, filter=_plain)
        archive.add(TOOLKITS / "torch_stand_in", "torch_stand_in", filter=_plain)
        for name in ("requirements.lock", "wheels"):
            archive.add(folder / name, name, filter=_plain)


def _plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out what differs between two machines."""
    if "__pycache__" in entry.name:
        return None
    entry.uid = entry.gid = entry.mtime = 0
    entry.uname = entry.gname = ""
    entry.mode = 0o755 if entry.isdir() else 0o644
    return entry


def follow(messages: Iterator[Mapping[str, Any]], doing: str) -> None:
    """Read a build to its end; on failure raise with its last lines."""
    printed: list[str] = []
    for message in messages:
        printed.append(str(message.get("stream", "")))
        if "error" in message:
            tail = re.sub(r"\x1b\[[0-9;]*m", "", "".join(printed[-30:]))[-1500:]
            raise engine_failure(f"{tail}\n{message['error']}", doing)
