"""The one error that is scikit-learn's too; the others are imported without scikit-learn."""

from __future__ import annotations

from sklearn.exceptions import NotFittedError as _SklearnNotFittedError

from sklearn2rknn.errors import Sklearn2RknnError


class NotFittedError(Sklearn2RknnError, _SklearnNotFittedError):  # type: ignore[misc]  # sklearn is untyped
    """The estimator was not fitted."""
