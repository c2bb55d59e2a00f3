"""A converted classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from scirknn.estimators.estimator import Estimator
from scirknn.estimators.output_activations import log_activate
from scirknn.estimators.scores import accuracy

if TYPE_CHECKING:
    from scirknn.arrays import Array

__all__ = ["MLPClassifier"]


class MLPClassifier(Estimator):
    """A converted ``sklearn.neural_network.MLPClassifier``.

    Parameters
    ----------
    path : path-like or Bundle
        The bundle's model file; its metadata lies beside it. Or what `read_bundle` returned.
    device : {"npu", "virtual"}, optional
        Default: the environment variable ``SCIRKNN_DEVICE``, else the NPU where there is one.
    core : {"auto", "pool", "0", "1", "2", "0_1", "0_1_2"}
        NPU cores to run on. "pool" loads the model once on each core of the chip and shares the rows of X,
        and the calls of several threads, out between them: the fastest way with many rows. "0_1_2" joins the
        cores for each run, "auto" leaves the choice to the driver, which takes one. Answers are the same.

    Attributes
    ----------
    classes_ : numpy.ndarray
    n_features_in_, n_outputs_ : int
    feature_names_in_ : numpy.ndarray of str
        Only where the estimator was fitted with names.
    out_activation_ : str
    bundle : Bundle
    device, core : str

    Raises
    ------
    BundleError
        The bundle is missing, damaged or holds a regressor.
    DeviceError, NativeError
        The NPU's runtime is missing or refused the model.

    Examples
    --------
    >>> with scirknn.MLPClassifier("iris.rknn") as clf:  # doctest: +SKIP
    ...     clf.predict(X)
    """

    _tasks = ("classifier", "multilabel")

    def predict(self, X: Any) -> Array:
        """Predict classes.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)

        Returns
        -------
        numpy.ndarray, shape (n,), dtype of ``classes_``; or (n, n_outputs_) of int for a multilabel task
        """
        return self._answer(X, self.decide)

    def decide(self, output: Array) -> Array:
        """Return the classes that a raw output means.

        Parameters
        ----------
        output : numpy.ndarray, shape (n, n_outputs_)
            From `raw_output`.

        Returns
        -------
        numpy.ndarray
            As `predict`.
        """
        if self.bundle.head == "softmax":
            best: Array = self.classes_[output.argmax(axis=1)]
            return best
        above = self._activated(output) > 0.5
        if self.bundle.task == "multilabel":
            return above.astype(np.int64)
        if len(self.classes_) == 1:
            return np.repeat(self.classes_, len(output))
        chosen: Array = self.classes_[above[:, 0].astype(np.intp)]
        return chosen

    def predict_proba(self, X: Any) -> Array:
        """Predict probabilities.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)

        Returns
        -------
        numpy.ndarray, shape (n, n_classes)
            In the order of ``classes_``.
        """
        return self._answer(X, self.probabilities)

    def probabilities(self, output: Array) -> Array:
        """Return the probabilities that a raw output means.

        Parameters
        ----------
        output : numpy.ndarray, shape (n, n_outputs_)
            From `raw_output`.

        Returns
        -------
        numpy.ndarray, shape (n, n_classes)
            As `predict_proba`.
        """
        p = self._activated(output)
        return np.hstack([1 - p, p]) if p.shape[1] == 1 else p

    def predict_log_proba(self, X: Any) -> Array:
        """Predict logarithms of probabilities.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)

        Returns
        -------
        numpy.ndarray, shape (n, n_classes)
            Finite where the probability itself would underflow to zero, but where ``bundle.head_on_npu``.
        """
        return self._answer(X, self._logarithms)

    def _logarithms(self, output: Array) -> Array:
        if self.bundle.head_on_npu:
            with np.errstate(divide="ignore"):
                logarithms: Array = np.log(self.probabilities(output))
            return logarithms
        if output.shape[1] == 1:
            return np.hstack([log_activate("logistic", -output), log_activate("logistic", output)])
        return log_activate(self.bundle.head, output)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Compute the accuracy of ``predict(X)`` against `y`.

        For a multilabel task, of complete rows.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)
        y : array-like, shape (n,) or (n, n_outputs_)
        sample_weight : array-like, shape (n,), optional
        """
        return accuracy(y, self.predict(X), sample_weight)
