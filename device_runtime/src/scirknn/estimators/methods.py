"""The methods of loaded models, each there where the estimator has it."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from types import MethodType
from typing import Any, Callable, TypeVar

from scirknn.answers import answer, by_target, final_values, main_method, own_labels, probabilities
from scirknn.arrays import Array, Floats
from scirknn.bundle.contents import Bundle, Owner
from scirknn.errors import InputError
from scirknn.estimators.estimator import Estimator, Finish
from scirknn.estimators.scores import check_targets, inertia, score_name, score_of
from scirknn.estimators.searches import (
    NearestSearch,
    RadiusSearch,
    check_neighbours,
    may_lack_neighbours,
    training_rows,
)

_Method = TypeVar("_Method", bound=Callable[..., Any])


class _Response:
    """A method that a model has where its bundle says so, as `sklearn.utils.metaestimators.available_if`."""

    def __init__(self, method: Callable[..., Any], response: str) -> None:
        self.method, self.response = method, response
        self.__doc__ = method.__doc__

    def __get__(self, model: Methods | None, owner: Any = None) -> Any:
        if model is None:
            return self.method
        if self.response not in model._available:
            owner = model.bundle.owner or Owner(model.bundle.estimator, ())
            raise AttributeError(owner.text_of(self.method.__name__))
        return MethodType(self.method, model)


def _where(response: str) -> Callable[[_Method], _Method]:
    def decorate(method: _Method) -> _Method:
        return _Response(method, response)  # type: ignore[return-value]

    return decorate


class Methods(Estimator):
    """scikit-learn's methods; those that the estimator lacks raise AttributeError."""

    @classmethod
    def opens(cls, bundle: Bundle) -> bool:
        """Whether the class is for the bundle's task."""
        return bundle.task in cls._tasks

    def has(self, method: str) -> bool:
        """Whether the estimator has a method of that name, ``score`` among them."""
        return method in self._available

    @property
    def main_method(self) -> str:
        """The method that the model is there for: predict, else transform, score_samples or kneighbors."""
        return main_method(self.bundle)

    @_where("predict")
    def predict(self, X: Any) -> Array:
        """Predict labels or targets.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)

        Returns
        -------
        numpy.ndarray
            Labels, of ``classes_``'s dtype and shape (n,), or for a multilabel task of int and shape
            (n, n_outputs_); a regressor's targets, shape (n,), or (n, n_outputs_) with several; a cluster's
            number; -1 or 1 of an outlier detector.
        """
        if may_lack_neighbours(self.bundle):
            return self._near_answer(X, "predict")
        return self._answer(X, self._finishes["predict"])

    @_where("predict_proba")
    def predict_proba(self, X: Any) -> Any:
        """Predict probabilities.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)

        Returns
        -------
        numpy.ndarray, shape (n, n_classes), or list of numpy.ndarray
            In the order of ``classes_``; a list where that is one.
        """
        if may_lack_neighbours(self.bundle):
            return self._near_answer(X, "predict_proba")
        return by_target(self.bundle, self._answer(X, self._finishes["predict_proba"]))

    @_where("predict_log_proba")
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
        return self._answer(X, self._finishes["predict_log_proba"])

    @_where("decision_function")
    def decision_function(self, X: Any) -> Array:
        """Return confidence scores.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)

        Returns
        -------
        numpy.ndarray, shape (n,), or (n, n_classes) with more than two classes
        """
        return self._answer(X, self._finishes["decision_function"])

    @_where("score_samples")
    def score_samples(self, X: Any) -> Array:
        """Return each row's score, such as a log-likelihood.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)

        Returns
        -------
        numpy.ndarray, shape (n,)
        """
        return self._answer(X, self._finishes["score_samples"])

    @_where("transform")
    def transform(self, X: Any) -> Array:
        """Transform rows.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)

        Returns
        -------
        numpy.ndarray, shape (n, k)
        """
        return self._answer(X, self._finishes["transform"])

    @_where("kneighbors")
    def kneighbors(self, X: Any = None, n_neighbors: Any = None, return_distance: bool = True) -> Any:
        """Find the training rows nearest to each row.

        Of a converted pipeline, those nearest to what its steps make of the row.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_), optional
            By default the training rows themselves, each without itself; not of a pipeline, which does not
            keep what its first step takes.
        n_neighbors : int, optional
            By default what the estimator was fitted with.
        return_distance : bool

        Returns
        -------
        distances : numpy.ndarray of float64, shape (n, n_neighbors)
            The nearest first. Only with `return_distance`.
        indices : numpy.ndarray of int64, shape (n, n_neighbors)
            Of training rows; at equal distances the lower one first.

        Raises
        ------
        InputError
            X or `n_neighbors` is not what scikit-learn takes; its text.
        """
        is_training = X is None
        rows = training_rows(self.bundle) if is_training else self._check(X)
        search = NearestSearch.of(self.bundle, n_neighbors, rows, is_training=is_training)
        table = self._answer(rows, Finish(search.block, takes_rows=True), is_checked=True)
        return search.finish(table, return_distance)

    @_where("radius_neighbors")
    def radius_neighbors(
        self,
        X: Any = None,
        radius: float | None = None,
        return_distance: bool = True,
        sort_results: bool = False,
    ) -> Any:
        """Find the training rows within a radius of each row.

        Parameters
        ----------
        X, return_distance
            As for `kneighbors`.
        radius : float, optional
            By default what the estimator was fitted with. Rows at this distance are within.
        sort_results : bool
            They are sorted by distance in any case; scikit-learn's check of it is made.

        Returns
        -------
        distances, indices : numpy.ndarray of object, shape (n,)
            One array for each row, of float64 and int64.

        Raises
        ------
        InputError
            X or the parameters are not what scikit-learn takes; its text.
        """
        if sort_results and not return_distance:
            raise InputError("return_distance must be True if sort_results is True.")
        is_training = X is None
        rows = training_rows(self.bundle) if is_training else self._check(X)
        search = RadiusSearch.of(self.bundle, radius)
        table = self._answer(rows, Finish(search.block, takes_rows=True), is_checked=True)
        return search.finish(table, return_distance, is_training=is_training)

    @_where("score")
    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """Score ``predict(X)`` against `y` by what the estimator's own ``score`` measures.

        Accuracy of a classifier, for several labels or targets of complete rows; R² of a regressor, averaged
        over outputs; D² of a generalized linear model. Without `y`, of a density the sum of
        ``score_samples(X)``, of a mixture and of a PCA their mean; of k-means the opposite of the sum of
        squared distances from the nearest centres.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)
        y : array-like, shape (n,) or (n, n_outputs_)
        sample_weight : array-like, shape (n,), optional
        """
        name, labels = score_name(self.bundle), own_labels(self.bundle)
        if labels is not None:
            check_targets(y, len(labels))
        if name == "inertia":
            return inertia(self.transform(X), sample_weight)
        if name in ("log_likelihood", "mean_log_likelihood"):
            scores = self.score_samples(X)
            return float(scores.sum() if name == "log_likelihood" else scores.mean())
        return score_of(name, y, self.predict(X), sample_weight)

    def submit(self, X: Any, method: str | None = None) -> Future[Array]:
        """Answer X in another thread, while this one goes on.

        Calls that wait together overlap: one is prepared while another is on the NPU.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)
            Not to be changed before the answer is there.
        method : str, optional
            By default `main_method`.

        Returns
        -------
        concurrent.futures.Future
            Of what the method returns or raises.

        Raises
        ------
        InputError
            The estimator has no such method.
        NativeError
            The model is closed, or this process was forked from the one that opened it.
        """
        name = method or self.main_method
        if name not in self._finishes:
            raise InputError(f"method is {name!r:.60}; it can be one of {', '.join(self._finishes)}.")
        self._require_open()
        return self._calls.submit(partial(getattr(self, name), X))

    def decide(self, output: Array, rows: Floats | None = None) -> Array:
        """Return the predictions that a raw output means, or what a transformer gives.

        Parameters
        ----------
        output : numpy.ndarray, shape (n, bundle.n_outputs)
            From `raw_output`.
        rows : numpy.ndarray of float64, shape (n, inputs), optional
            The network's inputs, where ``bundle.takes_rows``.

        Returns
        -------
        numpy.ndarray
            As `predict`, or as `transform` or `score_samples` where the estimator has no predict.
        """
        return answer(self.bundle, main_method(self.bundle), final_values(self.bundle, output, rows))

    @_where("predict_proba")
    def probabilities(self, output: Array, rows: Floats | None = None) -> Array:
        """Return the probabilities that a raw output means.

        Parameters
        ----------
        output, rows
            As for `decide`.

        Returns
        -------
        numpy.ndarray, shape (n, n_classes)
            As `predict_proba`; where that is a list, its arrays side by side.
        """
        return probabilities(self.bundle, final_values(self.bundle, output, rows))

    def _near_answer(self, X: Any, method: str) -> Array:
        """Return what a method does after rows without neighbours were looked for in all of X."""
        bundle = self.bundle
        values = self._answer(
            X, Finish(lambda output, rows: final_values(bundle, output, rows), takes_rows=True)
        )
        check_neighbours(bundle, values)
        return answer(bundle, method, values)
