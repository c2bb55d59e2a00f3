"""Rows that a bundle holds, by which a runtime is verified where it is used."""

from __future__ import annotations

import numpy as np

from scirknn.arrays import Floats
from scirknn.probe_rows import MOST_ROWS, MOST_VALUES, ProbeRows
from sklearn2rknn.network.network import Network
from sklearn2rknn.rows.check_rows import SEED


def draw_rows(rows: Floats, values: int) -> Floats:
    """Draw rows within each column's range in `rows`: a bundle shows nobody's data.

    Parameters
    ----------
    values : int
        Numbers that a bundle holds of a row.
    """
    count = min(MOST_ROWS, max(1, MOST_VALUES // values))
    low, high = rows.min(axis=0), rows.max(axis=0)
    shares = np.random.default_rng(SEED).uniform(size=(count, rows.shape[1]))
    return np.asarray(low + (high - low) * shares)


def probe_rows(source: Network, network: Network, rows: Floats, bound: Floats) -> ProbeRows | None:
    """Return the rows of finite error bound with the estimator's outputs; None where no row has one.

    Parameters
    ----------
    source, network : Network
        The estimator's, and what the toolkit was given.
    rows : numpy.ndarray of float64, shape (n, n_features_in)
    bound : numpy.ndarray of float64, shape (n, n_outputs)
        Of the built file's outputs.
    """
    with np.errstate(over="ignore"):
        inputs = network.prepare(rows).astype(np.float32)
    bounded = np.isfinite(bound).all(axis=1) & np.isfinite(inputs).all(axis=1)
    if not bounded.any():
        return None
    return ProbeRows(inputs[bounded], source.forward(rows[bounded]), float(bound[bounded].max()))
