"""Labels or values of some rows, from a file: true ones, or predictions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs
import numpy as np

from rknn_harness.errors import OwnModelError
from scirknn.arrays import Array
from scirknn.bundle.columns import Columns, Lookup, Number
from scirknn.cli.table_files import read_table
from scirknn.errors import InputError


@attrs.frozen(eq=False)
class Kind:
    """The kind of a model's predictions.

    Attributes
    ----------
    task : str
        Of the model.
    classes : numpy.ndarray or None
    n_outputs : int
        Columns of a prediction; 1 for a classifier.
    """

    task: str
    classes: Array | None
    n_outputs: int

    @property
    def has_texts(self) -> bool:
        """Whether its labels are texts."""
        return (
            self.classes is not None
            and self.task != "multilabel"
            and np.asarray(self.classes).dtype.kind in "OU"
        )

    @property
    def n_features_in(self) -> int:
        """Columns of the file."""
        return self.n_outputs

    @property
    def feature_names(self) -> None:
        """None: names of columns are ignored."""
        return None

    @property
    def columns(self) -> Columns | None:
        """How cells are read: as texts where the classes are."""
        if self.classes is None or self.task == "multilabel":
            return None
        keys = self.classes.tolist()
        if not (self.has_texts or isinstance(keys[0], bool)):
            return None
        lookup = Lookup(0, tuple(keys), tuple(range(len(keys))), None, len(keys), "ignore", 0)
        return Columns(1, (Number(0),), (lookup,))


def read_targets(path: Path, kind: Kind, count: int, option: str, header: str = "auto") -> Array:
    """Read one label or value for each row, from a ``.npy`` or CSV file.

    Parameters
    ----------
    path : pathlib.Path
    kind : Kind
    count : int
        Rows of X.
    option : str
        The option that named the file, for the texts.
    header : {"auto", "yes", "no"}
        Whether a CSV file's first line names its columns.

    Returns
    -------
    numpy.ndarray, shape (count,) or (count, n_outputs)

    Raises
    ------
    OwnModelError
        The file is no such table; the text names it.
    """
    if not path.is_file():
        raise OwnModelError(f"{option} {path}: there is no such file. Give a .npy or CSV file.")
    try:
        values = read_table(str(path), kind, header=header)
    except (InputError, EOFError, OSError) as error:
        raise OwnModelError(f"{option}: {error} Give one label or value for each row of --rows.") from None
    if values.ndim == 1:
        values = values[:, None]
    classes = set(kind.classes.tolist()) if kind.classes is not None and kind.task != "multilabel" else None
    # Where labels are texts, so is a header: it is none of the classes.
    if classes and kind.has_texts and header == "auto" and len(values) == count + 1:
        values = values[1:] if values[0, 0] not in classes else values
    if len(values) != count:
        raise OwnModelError(
            f"{option} {path} has {len(values)} rows; --rows has {count}. Give one for each, in this order."
        )
    if values.shape[1:] != (kind.n_outputs,):
        raise OwnModelError(
            f"{option} {path} has {values.shape[1]} columns; the model predicts {kind.n_outputs}. Give these."
        )
    if classes is not None:
        values = values[:, 0]
        if not classes & set(values.tolist()):
            raise OwnModelError(
                f"{option} {path} holds {_some(values)}; the model's classes are {_some(kind.classes)}. Give "
                "labels as the model was fitted to."
            )
        return np.asarray(values)
    if values.dtype.kind not in "fiub" or not np.isfinite(values).all():
        raise OwnModelError(f"{option} {path} holds NaN or infinite values, or texts. Give numbers.")
    return np.asarray(values[:, 0] if kind.n_outputs == 1 else values)


def _some(labels: Any) -> str:
    distinct = list(dict.fromkeys(np.asarray(labels).tolist()))
    return ", ".join(map(repr, distinct[:4])) + (" ..." if distinct[4:] else "")
