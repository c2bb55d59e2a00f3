"""The example input: rows of X, from which ranges are taken."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from scirknn.arrays import Floats
from scirknn.cli.csv_columns import TakesRows
from scirknn.cli.table_files import read_table
from scirknn.errors import InputError
from scirknn.input_checks import check_finite, check_table
from scirknn.text import count_of
from sklearn2rknn.errors import ExampleInputError, ExampleInputWarning
from sklearn2rknn.network.network import Network
from sklearn2rknn.tolerances import FEWEST_ROWS


def read_rows(path: Path, model: TakesRows, *, header: str = "auto") -> npt.NDArray[Any]:
    """Return the rows of a ``.npy`` or CSV file, read as `scirknn` reads them.

    Raises
    ------
    ExampleInputError
        There is no such file, it is no table, or its columns are not the model's.
    """
    if not path.is_file():
        raise ExampleInputError(f"There is no file {path}. Give a .npy or CSV file with rows of X.")
    try:
        return read_table(str(path), model, header=header)
    except InputError as error:
        raise ExampleInputError(str(error)) from None
    except (EOFError, OSError) as error:
        raise ExampleInputError(f"{path} cannot be read: {error}. Give a .npy or CSV file.") from None


def require_rows(example_input: Any) -> None:
    """Refuse an example input of which no rows can be cut, or that is sparse (ExampleInputError)."""
    _refuse_sparse(example_input, "example_input")
    if not hasattr(example_input, "__len__") or isinstance(example_input, Mapping):
        raise ExampleInputError(
            f"example_input is of {type(example_input).__name__}, not a table. Give rows of X as predict "
            "takes them."
        )


def validate_example_input(example_input: Any, network: Network, what: str = "example_input") -> Floats:
    """Return the example input as the layers take it, shape (n, number of inputs).

    `what` is the argument's name. Few rows are warned of with an ExampleInputWarning.

    Raises
    ------
    ExampleInputError
        It is no table of finite numbers with the model's features as columns.
    """
    parse = _numbers if network.columns is None else _table
    rows = parse(example_input, network, what)
    if len(rows) < FEWEST_ROWS:
        purpose = (
            "know the range of X: int8 cuts off what lies outside it, int16 what lies four times as far. "
            f"Give at least {FEWEST_ROWS}, better some hundred, typical rows of X, as X_train[:300], with "
            "the smallest and largest values among them."
        )
        if what == "check_input":
            purpose = (
                f"count a share of. Rows of example_input are held out instead; give at least {FEWEST_ROWS}."
            )
        text = f"{what} has {count_of(len(rows), 'row')}, too few to {purpose}"
        warnings.warn(text, ExampleInputWarning, stacklevel=5)
    try:
        prepared = network.prepare(rows)
        check_finite(prepared, network.estimator)
    except InputError as error:
        raise _refused(what, error) from None
    return prepared


def _refused(what: str, error: InputError) -> ExampleInputError:
    return ExampleInputError(f"{what}: {error}\nGive rows of X as predict takes them.")


def _table(example_input: Any, network: Network, what: str) -> npt.NDArray[Any]:
    """Return a table that columns are taken from, and that they can be taken from."""
    assert network.columns is not None
    step = network.first_step or network.estimator
    try:
        table = check_table(
            example_input,
            network.n_features_in,
            network.feature_names,
            step,
            named=network.columns.named,
        )
        network.take(table)
    except InputError as error:
        raise _refused(what, error) from None
    return table


def _check_names(example_input: Any, network: Network, what: str) -> None:
    names = getattr(example_input, "columns", None)
    if names is None or network.feature_names is None:
        return
    given = tuple(str(name) for name in names)
    if sorted(given) != sorted(network.feature_names):
        raise ExampleInputError(
            f"{what} has the columns {_shortened(given)}; the model was fitted on "
            f"{_shortened(network.feature_names)}. Give X with the columns it was fitted on."
        )
    if given != network.feature_names:
        raise ExampleInputError(
            f"{what} has the model's columns in another order. Give X[model.feature_names_in_]."
        )


def _numbers(example_input: Any, network: Network, what: str) -> Floats:
    """Return a table of finite numbers."""
    _check_names(example_input, network, what)
    _refuse_sparse(example_input, what)
    try:
        rows = np.asarray(example_input)
        # Numbers in an object array, as pandas gives for mixed columns, are still numbers; text is not.
        if rows.dtype.kind not in "biufO":
            raise ValueError(f"dtype {rows.dtype}")
        rows = rows.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise ExampleInputError(
            f"{what} is not a table of numbers ({error}). Give rows of X as numbers."
        ) from None
    if rows.ndim != 2:
        raise ExampleInputError(
            f"{what} has {count_of(rows.ndim, 'dimension')}, shape {rows.shape}; it takes rows of "
            f"X, shape (n, {network.n_features_in})."
            + (" Give X[:100], or x[None, :]." if rows.ndim == 1 else "")
        )
    if not len(rows):
        raise ExampleInputError(f"{what} has no rows. Give some hundred rows of X as the model will meet it.")
    if rows.shape[1] != network.n_features_in:
        raise ExampleInputError(
            f"{what} has {rows.shape[1]} columns; the model was fitted on {network.n_features_in} features. "
            "Give rows of the same X."
        )
    bad = ~np.isfinite(rows)
    if bad.any():
        row, column = (int(index) for index in np.argwhere(bad)[0])
        raise ExampleInputError(
            f"{what} holds {np.count_nonzero(bad)} NaN or infinite values, the first at row {row}, column "
            f"{column}. Drop these rows or impute them, as before fit."
        )
    return rows


def _refuse_sparse(example_input: Any, what: str) -> None:
    if hasattr(example_input, "toarray"):
        raise ExampleInputError(f"{what} is a sparse matrix. Give a dense sample of it: X[:100].toarray().")


def _shortened(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (f", ... ({len(names)} of them)" if len(names) > 5 else "")
