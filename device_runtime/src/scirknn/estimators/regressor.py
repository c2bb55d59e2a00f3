"""A converted regressor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scirknn.estimators.estimator import Estimator
from scirknn.estimators.scores import r2

if TYPE_CHECKING:
    from scirknn.arrays import Array

__all__ = ["MLPRegressor"]


class MLPRegressor(Estimator):
    """A converted ``sklearn.neural_network.MLPRegressor``.

    Parameters, attributes and errors are those of `MLPClassifier`, without ``classes_``.
    """

    _tasks = ("regressor",)

    def predict(self, X: Any) -> Array:
        """Predict targets.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)

        Returns
        -------
        numpy.ndarray, shape (n,), or (n, n_outputs_) with several outputs
        """
        return self._answer(X, self.decide)

    def decide(self, output: Array) -> Array:
        """Return the predictions that a raw output means.

        Parameters
        ----------
        output : numpy.ndarray, shape (n, n_outputs_)
            From `raw_output`.
        """
        predictions = self._activated(output)
        return predictions[:, 0] if self.bundle.single_output else predictions

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return R² of ``predict(X)`` against `y`, averaged over outputs.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)
        y : array-like, shape (n,) or (n, n_outputs_)
        sample_weight : array-like, shape (n,), optional
        """
        return r2(y, self.predict(X), sample_weight)
