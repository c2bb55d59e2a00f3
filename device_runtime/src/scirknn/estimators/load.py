"""Open a bundle as the estimator that it holds."""

from __future__ import annotations

from scirknn.bundle.contents import Bundle, PathLike
from scirknn.bundle.files import read_bundle
from scirknn.estimators.classifier import Classifier
from scirknn.estimators.methods import Methods
from scirknn.estimators.regressor import Regressor
from scirknn.estimators.unsupervised import Clusterer, OutlierDetector, Transformer

_CLASSES: tuple[type[Methods], ...] = (Classifier, Regressor, Transformer, Clusterer, OutlierDetector)


def load(path: PathLike, *, device: str | None = None, core: str = "auto", runtime: str = "auto") -> Methods:
    """Open a bundle as whichever estimator it holds.

    Parameters
    ----------
    path : path-like
        The bundle's model file.
    device, core, runtime : optional
        As for `Classifier`.

    Returns
    -------
    Classifier, Regressor, Transformer, Clusterer or OutlierDetector
    """
    return open_bundle(read_bundle(path), device=device, core=core, runtime=runtime)


def open_bundle(
    bundle: Bundle, *, device: str | None = None, core: str = "auto", runtime: str = "auto"
) -> Methods:
    """Open a bundle that has been read, as `load` does."""
    kind = next(each for each in _CLASSES if each.opens(bundle))
    return kind(bundle, device=device, core=core, runtime=runtime)
