"""Read JSON records that anyone may have written or damaged."""

from __future__ import annotations

import contextlib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import jinja2
from typeguard import CollectionCheckStrategy, TypeCheckError, check_type

from rknn_harness.errors import RunFolderError
from scirknn.files import read_file
from scirknn.text import cause_of, parse_json, printable

READ_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What reading a damaged record raises."""


_MOST_BYTES = 1 << 30
"""Of a file of a run; a case takes 4 kB."""

_LONGEST_DOCUMENT = 1 << 24
"""Bytes of a file of one object; a case's samples take 40 kB."""

_MANIFEST: dict[str, Any] = {
    "started": str,
    "finished": str | None,
    "command": str,
    "seed": int,
    "toolkits": list[dict[str, Any]],
    "boards": dict[str, dict[str, Any]],
    "precisions": list[str],
    "versions": dict[str, str | None],
    "commit": dict[str, Any] | None,
    "host": dict[str, Any],
    "statement": str,
    "options": dict[str, Any],
    **dict.fromkeys(("skipped", "not_run"), list[dict[str, str]]),
}
"""Types of the manifest's fields."""

_OPTIONS: dict[str, Any] = {
    **dict.fromkeys(("board", "toolkit", "precision", "family"), list[str]),
    **dict.fromkeys(("boards", "corpus", "examples", "expectations", "baseline", "keyword"), str | None),
    **dict.fromkeys(("max_cases", "family_cases", "seed"), int | None),
    "second_builds": float,
}
"""Types of the options in it that a resumed run, or a printed command, takes up."""


@contextlib.contextmanager
def refuse_unshowable(*folders: Path) -> Iterator[None]:
    """Report values of these runs that no view can show as an error of their folders.

    Raises
    ------
    RunFolderError
    """
    try:
        yield
    except (*READ_ERRORS, jinja2.TemplateError) as error:
        names = " or ".join(map(str, folders))
        what = printable(f"{type(error).__name__}: {error}"[:300])
        raise RunFolderError(
            f"The record in {names} has values that cannot be shown ({what}). Was it changed by hand?"
        ) from error


def parse_document(text: bytes) -> dict[str, Any]:
    """Return a JSON object whose numbers are finite and whose texts can be shown.

    Raises
    ------
    ValueError
        It is none.
    """
    document = parse_json(text)
    if not isinstance(document, dict):
        raise ValueError(f"it is a {type(document).__name__}, not an object")
    return {printable(key): _shown(value) for key, value in document.items()}


def read_document(path: Path) -> dict[str, Any]:
    """Return the JSON object in a file, as `parse_document` does.

    Raises
    ------
    OSError
        It cannot be read, is larger, or is no regular file.
    ValueError
        It holds no such object.
    """
    return parse_document(read_file(path, _LONGEST_DOCUMENT))


def content_of(file: Path) -> bytes:
    """Return the content of a file of a run.

    Raises
    ------
    RunFolderError
    """
    try:
        return read_file(file, _MOST_BYTES)
    except OSError as error:
        raise RunFolderError(f"{file.parent} is not a run's folder: {cause_of(error)}.") from None


def _shown(value: Any) -> Any:
    """Return a JSON value with its texts, and keys, printable."""
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, dict):
        return {printable(key): _shown(item) for key, item in value.items()}
    return value


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return which values of before are others now, as part of a sentence; empty where none is."""
    return "; ".join(
        f"{name} {value}, now {now.get(name)}" for name, value in before.items() if now.get(name) != value
    )


def parse_manifest(file: Path, text: bytes, number: int) -> dict[str, Any]:
    """Return the manifest of a run, of format `number`, from the text of a file.

    Raises
    ------
    ValueError
        It is none.
    RunFolderError
        It has another format.
    """
    document = parse_document(text)
    if document.get("format") != number:
        raise RunFolderError(
            f"{file} has format {document.get('format')!r:.20}; this rknn-harness reads format {number}. "
            "Read it with the version that wrote it, or run the cases again with this one."
        )
    _check_fields(document, _MANIFEST, {"toolkits", "boards"})
    _check_fields(document.get("options", {}), _OPTIONS, set())
    for toolkit in document["toolkits"]:
        _check_fields(toolkit, {"version": str}, {"version"})
    return document


def _check_fields(document: Mapping[str, Any], types: Mapping[str, Any], required: set[str]) -> None:
    """Check the types of a document's fields; the error's text names the field."""
    missing = required - document.keys()
    if missing:
        raise ValueError(f"it lacks {min(missing)}")
    for name in types.keys() & document.keys():
        _check(name, document[name], types[name])


def check_record(record: Any) -> None:
    """Check the fields of an attrs instance, and of those in it, by their annotations.

    Raises
    ------
    ValueError
        A field has another type; the text names it.
    """
    hints = typing.get_type_hints(type(record))
    for field in attrs.fields(type(record)):
        value = getattr(record, field.name)
        _check(field.name, value, hints[field.name])
        parts = value.values() if isinstance(value, Mapping) else (value,)
        for part in parts:
            if attrs.has(type(part)):
                check_record(part)


def _check(name: str, value: Any, hint: Any) -> None:
    try:
        check_type(value, hint, collection_check_strategy=CollectionCheckStrategy.ALL_ITEMS)
    except TypeCheckError as error:
        raise ValueError(f"{name}: {error}") from None
