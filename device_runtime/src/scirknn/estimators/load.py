"""Open a bundle as the estimator that it holds."""

from __future__ import annotations

from scirknn.bundle.contents import Bundle, PathLike
from scirknn.bundle.files import read_bundle
from scirknn.estimators.classifier import MLPClassifier
from scirknn.estimators.regressor import MLPRegressor

__all__ = ["load", "open_bundle"]


CLASSES: dict[str, type[MLPClassifier] | type[MLPRegressor]] = {
    "classifier": MLPClassifier,
    "multilabel": MLPClassifier,
    "regressor": MLPRegressor,
}


def load(path: PathLike, *, device: str | None = None, core: str = "auto") -> MLPClassifier | MLPRegressor:
    """Open a bundle as whichever estimator it holds.

    Parameters
    ----------
    path : path-like
        The bundle's model file.
    device, core : optional
        As for `MLPClassifier`.

    Returns
    -------
    MLPClassifier or MLPRegressor
    """
    bundle = read_bundle(path)
    return CLASSES[bundle.task](bundle, device=device, core=core)


def open_bundle(
    bundle: Bundle, *, device: str | None = None, core: str = "auto"
) -> MLPClassifier | MLPRegressor:
    """Open a bundle that has been read, as `load` does."""
    return CLASSES[bundle.task](bundle, device=device, core=core)
