"""A user's own model: its file, rows to try it with, and what they are compared with.

A run keeps copies, so that a case can be tried again whatever becomes of the originals::

    runs/RUN/own/NAME/
        own.json        which file is which, and the sha256 of each
        rows.npy        or .csv; and so on
"""

from __future__ import annotations

import functools
import json
import re
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from rknn_harness.errors import OwnModelError
from rknn_harness.models.targets import Kind, read_targets
from rknn_harness.records.case import Case, file_name, own_case
from rknn_harness.records.reading import READ_ERRORS
from rknn_harness.verdicts.reference import reference
from scirknn import BundleError, read_bundle
from scirknn.answers import answer_width, main_method
from scirknn.arrays import Array
from scirknn.bundle import Bundle, bundle_files
from scirknn.errors import InputError
from scirknn.files import read_file, sha256_of_file
from scirknn.input_checks import check_finite, check_rows, check_table
from scirknn.text import parse_json
from sklearn2rknn import ExampleInputError, Sklearn2RknnError, network_from_estimator
from sklearn2rknn.estimators.model_file import load_model
from sklearn2rknn.network.network import Network
from sklearn2rknn.passes.kernel_on_npu import in_form_of
from sklearn2rknn.rows.example_input import read_rows

_SIZES = (64,)
"""Rows per run of a model that is to be converted."""

_MOST_BYTES = 1 << 20  # of own.json
_FEW = 8
"""Rows on which scikit-learn's answer is checked before the run."""


@attrs.frozen
class OwnFiles:
    """The files that a user gives.

    Attributes
    ----------
    model : pathlib.Path
        An estimator (``.skops``, ``.pkl``, ``.pickle``, ``.joblib``), or a bundle (``.rknn``).
    rows : pathlib.Path
        Rows of X, ``.npy`` or CSV.
    y : pathlib.Path or None
        True labels or values of the rows.
    reference : pathlib.Path or None
        The estimator that a bundle was made from.
    expect : pathlib.Path or None
        Recorded predictions for the rows.
    header : {"auto", "yes", "no"}
        Whether the first line of a CSV file names its columns.
    """

    model: Path
    rows: Path
    y: Path | None = None
    reference: Path | None = None
    expect: Path | None = None
    header: str = "auto"

    @property
    def name(self) -> str:
        """The model file's stem, as part of a case's id."""
        return re.sub(r"[^A-Za-z0-9._+-]+", "_", self.model.stem)[:80]

    @property
    def is_bundle(self) -> bool:
        """Whether the model is converted already."""
        return self.model.suffix.lower() == ".rknn"


@attrs.frozen(eq=False)
class OwnModel:
    """The contents of the files.

    Attributes
    ----------
    name : str
    estimator : object or None
        scikit-learn's; None where there is only a bundle.
    bundle : Bundle or None
        Of a model that was converted before.
    X : numpy.ndarray, shape (n, n_features)
    y : numpy.ndarray or None
    expected : numpy.ndarray or None
        Recorded predictions.
    """

    name: str
    estimator: Any
    bundle: Bundle | None
    X: Array
    y: Array | None
    expected: Array | None


def read_files(files: OwnFiles, *, trust_pickle: bool = False) -> OwnModel:
    """Read a model and its rows, and check that they belong together.

    Raises
    ------
    OwnModelError
        The text names the file, its error and the remedy.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, of names of features and of versions
        bundle = _bundle(files) if files.is_bundle else None
        source = files.reference if bundle else files.model
        estimator = network = None
        if source is not None:
            estimator = _of_converter(load_model, source, trust_pickle=trust_pickle)
            network = _of_converter(network_from_estimator, estimator)
        if bundle is not None and network is not None:
            _check_same_model(bundle, in_form_of(network, bundle), files)
        model = bundle or network
        assert model is not None
        if (isinstance(model, Bundle) and model.on_host) or (isinstance(model, Network) and not model.layers):
            raise OwnModelError(
                f"--model {files.model}: {model.estimator} is computed by the board's CPU, in numpy; nothing "
                "of it runs on an NPU. Judge it by sklearn2rknn --example-input, which compares every method."
            )
        X = _rows(files, model)
        if estimator is not None:
            _check_reference(estimator, X[:_FEW], source)
    kind = Kind(model.task, model.classes, 1 if _has_labels(model.task) else _width(model))
    y, expected = (
        None if path is None else read_targets(path, kind, len(X), option, files.header)
        for path, option in ((files.y, "--y"), (files.expect, "--expect"))
    )
    return OwnModel(files.name, estimator, bundle, X, y, expected)


def _has_labels(task: str) -> bool:
    return task in ("classifier", "clusterer", "outlier")


def _width(model: Bundle | Network) -> int:
    """Return how many numbers or labels a model gives for a row."""
    return answer_width(model, model.n_outputs, main_method(model))


def _of_converter(function: Any, *arguments: Any, **options: Any) -> Any:
    try:
        return function(*arguments, **options)
    except Sklearn2RknnError as error:
        raise OwnModelError(str(error)) from None


def _bundle(files: OwnFiles) -> Bundle:
    if files.reference is None and files.expect is None and files.y is None:
        raise OwnModelError(
            f"--model {files.model} is converted already, so there is nothing to compare it with. Give the "
            "estimator that it was made from as --reference, or predictions as --expect, or what is true of "
            "the rows as --y."
        )
    try:
        bundle = read_bundle(files.model)
    except (BundleError, OSError) as error:
        raise OwnModelError(f"--model {files.model}: {error}") from None
    if bundle.head_on_npu or bundle.form != "conv":
        raise OwnModelError(
            f"--model {files.model} was converted to be compared on a board (form {bundle.form!r}, output "
            f"activation on the {'NPU' if bundle.head_on_npu else 'host'}). Leave --form and --head out."
        )
    if not bundle.on_host and "version" not in bundle.details.get("toolkit", {}):
        raise OwnModelError(
            f"--model {files.model} does not record which toolkit made it. Convert the estimator again."
        )
    return bundle


def _check_same_model(bundle: Bundle, network: Network, files: OwnFiles) -> None:
    """Raise where a bundle cannot be made from the reference."""
    pairs = {
        "task": (bundle.task, network.task),
        "number of features": (bundle.n_features_in, network.n_features_in),
        "number of outputs": (bundle.n_outputs, network.n_outputs),
        "classes": (_listed(bundle.classes), _listed(network.classes)),
    }
    for name, (mine, others) in pairs.items():
        if mine != others:
            raise OwnModelError(
                f"--reference {files.reference} is another model than {files.model}: the {name} is {others}, "
                f"the bundle's {mine}. Give the estimator that the bundle was made from."
            )


def _listed(classes: Array | None) -> list[Any] | None:
    return None if classes is None else classes.tolist()


def _rows(files: OwnFiles, model: Bundle | Network) -> Array:
    """Read rows that the model takes."""
    option = f"--rows {files.rows}"
    try:
        X = np.asarray(read_rows(files.rows, model, header=files.header))
        if model.columns is None:
            X = check_rows(X, model.n_features_in, None, model.estimator)
            check_finite(X, model.estimator)
        else:
            step = model.first_step or model.estimator
            X = check_table(X, model.n_features_in, None, step, named=model.columns.named)
            model.columns.take(X, model.estimator)
    except (ExampleInputError, InputError) as error:
        raise OwnModelError(f"{option}: {error} Give rows of X as the model's predict takes them.") from None
    if len(X) < 2:
        raise OwnModelError(f"{option} has 1 row. Give some hundred; half of them are for the converter.")
    return X


def _check_reference(estimator: Any, X: Array, source: Path | None) -> None:
    try:
        reference(estimator, X)
    except AssertionError as error:
        line = " ".join(str(error).split())[:200]
        raise OwnModelError(
            f"{source}: {type(estimator).__name__}.predict does not compute what its coefficients do "
            f"({line}). A class of its own that changes predict cannot be converted; give scikit-learn's own."
        ) from None
    except (TypeError, ValueError) as error:
        raise OwnModelError(
            f"{source}: scikit-learn does not predict these rows: {error} A model that was fitted to a table "
            "with names may need pandas here."
        ) from None


def keep_files(files: OwnFiles, folder: Path) -> dict[str, Any]:
    """Copy the files into a run's ``own/NAME``, and return what its ``own.json`` records.

    Raises
    ------
    OSError
    """
    place = folder / files.name
    place.mkdir(parents=True)
    kept: dict[str, str] = {}
    for part in ("model", "rows", "y", "reference", "expect"):
        path: Path | None = getattr(files, part)
        if path is not None:
            # A bundle's metadata names its model files.
            is_bundle = part == "model" and files.is_bundle
            kept[part] = path.name if is_bundle else part + path.suffix.lower()
            for source in bundle_files(read_bundle(path)) if is_bundle else [path]:
                shutil.copyfile(source, place / (source.name if is_bundle else kept[part]))
    document = {
        "files": kept,
        "given": {part: str(getattr(files, part).absolute()) for part in kept},
        "header": files.header,
        "name": files.name,
        "sha256": {path.name: sha256_of_file(path) for path in sorted(place.iterdir())},
    }
    (place / "own.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return document


@functools.cache
def kept_model(place: Path, *, trust_pickle: bool = False) -> OwnModel:
    """Read a model that a run keeps, once in a process.

    Raises
    ------
    OwnModelError
        It cannot be read, or a file of it changed.
    """
    try:
        document = _document(place)
        digests = {name: _digest(place / file_name(name)) for name in document["sha256"]}
        parts = {part: place / file_name(name) for part, name in document["files"].items()}
        files = OwnFiles(**parts, header=document["header"])
        name = str(document["name"])
    except (OSError, *READ_ERRORS) as error:
        raise OwnModelError(f"{place} does not hold a model of a run: {error!r:.200}.") from None
    changed = [name for name, digest in digests.items() if digest != document["sha256"][name]]
    if changed:
        raise OwnModelError(
            f"{place / changed[0]} is not the file that the run kept: its sha256 is another. Start a new run."
        )
    return attrs.evolve(read_files(files, trust_pickle=trust_pickle), name=name)


def _document(place: Path) -> Any:
    return parse_json(read_file(place / "own.json", _MOST_BYTES))


def _digest(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"{path.name} is no regular file")
    return sha256_of_file(path)


def kept_documents(folder: Path) -> dict[str, Any]:
    """Return the document of each model that a run keeps, by its name."""
    return {path.parent.name: _document(path.parent) for path in sorted(folder.glob("*/own.json"))}


def is_estimator(place: Path) -> bool:
    """Whether a model that a run keeps is yet to be converted."""
    return not any(place.glob("*.rknn"))


def own_cases(folder: Path, precisions: Sequence[str]) -> list[Case]:
    """Return the cases of the models that a run keeps.

    Parameters
    ----------
    folder : pathlib.Path
        The run's ``own``; it may be missing.
    precisions : sequence of str
        For a model to convert; a bundle has one.
    """
    cases = []
    for place in sorted(path.parent for path in folder.glob("*/own.json")):
        if is_estimator(place):
            cases += [own_case(place.name, precision, "", _SIZES) for precision in precisions]
        else:
            name = _document(place)["files"]["model"]
            bundle = read_bundle(place / file_name(name))
            sizes = tuple(each.samples for each in bundle.variants)
            cases.append(
                own_case(place.name, bundle.precision, str(bundle.details["toolkit"]["version"]), sizes)
            )
    return cases
