"""The estimators: a bundle's predictions with scikit-learn's names, shapes and dtypes."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Iterator, TypeVar

import numpy as np

from scirknn.bundle import Bundle, PathLike, read_bundle
from scirknn.compatibility import require_compatible
from scirknn.errors import BundleFormatError, InputError, NativeError, OutputRangeError
from scirknn.heads import activate, log_activate
from scirknn.scoring import accuracy, r2
from scirknn.sessions import Session, choose_device, open_session
from scirknn.validation import check_rows, check_table

if TYPE_CHECKING:
    from scirknn._typing import Array, Float32Array

__all__ = ["MLPClassifier", "MLPRegressor", "load"]
_Self = TypeVar("_Self", bound="_Estimator")

BLOCK = 4096
"""Rows for which the columns of a pipeline are computed at a time: their memory does not grow with X."""


class _Estimator:
    """What classifier and regressor share: the bundle, its sessions, and the way from X to raw output."""

    _tasks: tuple[str, ...] = ()

    def __init__(self, path: PathLike | Bundle, *, device: str | None = None, core: str = "auto") -> None:
        bundle = path if isinstance(path, Bundle) else read_bundle(path)
        if bundle.task not in self._tasks:
            name = _CLASSES[bundle.task].__name__
            raise BundleFormatError(
                f"{bundle.path} holds an {bundle.estimator}; open it with scirknn.{name} or scirknn.load."
            )
        self.bundle = bundle
        self.device = choose_device(device)
        if self.device == "npu":
            require_compatible(bundle.details.get("toolkit"))
        self.n_features_in_ = bundle.n_features_in
        self.n_outputs_ = bundle.n_outputs
        self.out_activation_ = bundle.head
        if bundle.feature_names is not None:
            self.feature_names_in_ = np.array(bundle.feature_names, dtype=object)
        if bundle.classes is not None:
            self.classes_: Array = bundle.classes
        self._sessions: list[tuple[int, Session]] = []
        try:
            for variant, file in bundle.files():
                self._sessions.append((variant.samples, open_session(file, self.device, core)))
        except BaseException:
            self.close()
            raise

    def raw_output(self, X: Any) -> Array:
        """Return the network's output before its output activation.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)
            Any real dtype and memory order.

        Returns
        -------
        numpy.ndarray, shape (n, n_outputs_)
            In the dtype in which scikit-learn would compute.

        Raises
        ------
        InputError
            X is not what the model takes; scikit-learn's text.
        NativeError
            The runtime failed.
        OutputRangeError
            The model answered NaN or infinity.
        """
        bundle, columns = self.bundle, self.bundle.columns
        names, first_step = bundle.feature_names, bundle.first_step
        if columns is None:
            X = check_rows(X, bundle.n_features_in, names, bundle.estimator, first_step)
        else:
            first_step = first_step or bundle.estimator
            X = check_table(X, bundle.n_features_in, names, first_step, named=columns.named)
        if not self._sessions:
            raise NativeError("run", None, f"{bundle.path.name} is closed; load it again.")
        dtype = X.dtype if X.dtype.kind in "fiub" else np.float64
        output = np.empty((len(X), bundle.n_outputs), dtype=np.result_type(bundle.dtype, dtype))
        if columns is None:
            self._run(X, output)
        else:
            largest = self._sessions[-1][0]
            block = max(largest, BLOCK - BLOCK % largest)
            for start in range(0, len(X), block):
                rows = columns.take(X[start : start + block], bundle.estimator)
                self._run(rows, output[start : start + block])
        if not np.isfinite(output).all():
            row = int(np.flatnonzero(~np.isfinite(output).all(axis=1))[0])
            raise OutputRangeError(
                f"The model answered NaN or infinity for row {row} of X: a value left the range of "
                f"{bundle.precision}. If that row is unlike the data the model was fitted on, mend the row; "
                "otherwise scale the features before fitting and convert the model again."
            )
        if bundle.output is not None:
            output -= bundle.output.offset
            output *= bundle.output.scale
        return output

    def _run(self, rows: Array, output: Array) -> None:
        """Let the NPU compute `output`, shape (n, n_outputs), for the network's inputs, (n, n_inputs)."""
        for start, stop, samples, session in self._runs(len(rows)):
            answer = session.run(self._packed(rows[start:stop], samples))
            if answer.shape[1] != self.bundle.n_outputs * self.bundle.output_parts:
                name, count = self.bundle.path.name, self.bundle.n_outputs * self.bundle.output_parts
                raise NativeError("run", None, f"{name} has {answer.shape[1]} outputs, not {count}.")
            output[start:stop] = self.bundle.join(answer[0, :, : stop - start, 0].T)

    def _runs(self, rows: int) -> Iterator[tuple[int, int, int, Session]]:
        """Split `rows` into whole runs of the largest variant, the rest into the smallest that holds it."""
        largest = self._sessions[-1][0]
        start = 0
        while start < rows:
            count = min(rows - start, largest)
            samples, session = next(entry for entry in self._sessions if entry[0] >= count)
            yield start, start + count, samples, session
            start += count

    def _packed(self, X: Array, samples: int) -> Float32Array:
        """Return rows as the model takes them: prepared, float32, zeros up to its channels and samples."""
        bundle = self.bundle
        packed = np.zeros((1, samples, 1, bundle.channels), dtype=np.float32)
        fed = bundle.prepare(X)
        with np.errstate(over="ignore"):
            packed[0, : len(X), 0, : fed.shape[1]] = fed
        if not np.isfinite(packed).all():
            raise InputError("Input X contains infinity or a value too large for dtype('float32').")
        return packed

    def close(self) -> None:
        """Release the NPU; more than once does no harm."""
        sessions, self._sessions = self._sessions, []
        for _, session in sessions:
            session.close()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.bundle.path)!r}, device={self.device!r})"


class MLPClassifier(_Estimator):
    """A converted ``sklearn.neural_network.MLPClassifier``.

    Parameters
    ----------
    path : path-like or Bundle
        The bundle's model file; its metadata lies beside it. Or what `read_bundle` returned.
    device : {"npu", "virtual"}, optional
        Default: the environment variable ``SCIRKNN_DEVICE``, else the NPU where there is one.
    core : {"auto", "0", "1", "2", "0_1", "0_1_2"}
        NPU cores to run on.

    Attributes
    ----------
    classes_ : numpy.ndarray
    n_features_in_, n_outputs_ : int
    feature_names_in_ : numpy.ndarray of str
        Only where the estimator was fitted with names.
    out_activation_ : str
    bundle : Bundle
    device : str

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
        return self.decide(self.raw_output(X))

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
        above = activate("logistic", output) > 0.5
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
        return self.probabilities(self.raw_output(X))

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
        p = activate(self.bundle.head, output)
        return np.hstack([1 - p, p]) if p.shape[1] == 1 else p

    def predict_log_proba(self, X: Any) -> Array:
        """Predict logarithms of probabilities.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)

        Returns
        -------
        numpy.ndarray, shape (n, n_classes)
            Finite where the probability itself would underflow to zero.
        """
        output = self.raw_output(X)
        if output.shape[1] == 1:
            return np.hstack([log_activate("logistic", -output), log_activate("logistic", output)])
        return log_activate(self.bundle.head, output)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the accuracy of ``predict(X)`` against `y`; for a multilabel task, of whole rows.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)
        y : array-like, shape (n,) or (n, n_outputs_)
        sample_weight : array-like, shape (n,), optional
        """
        return accuracy(y, self.predict(X), sample_weight)


class MLPRegressor(_Estimator):
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
        return self.decide(self.raw_output(X))

    def decide(self, output: Array) -> Array:
        """Return the predictions that a raw output means.

        Parameters
        ----------
        output : numpy.ndarray, shape (n, n_outputs_)
            From `raw_output`.
        """
        predictions = activate(self.bundle.head, output)
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


_CLASSES: dict[str, type[MLPClassifier] | type[MLPRegressor]] = {
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
    return _CLASSES[bundle.task](bundle, device=device, core=core)
