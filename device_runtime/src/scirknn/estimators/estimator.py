"""What all loaded models share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, NoReturn, TypeVar

import numpy as np

from scirknn.bundle.contents import Bundle, PathLike
from scirknn.bundle.files import read_bundle
from scirknn.devices.compatibility import require_compatible
from scirknn.devices.core_pool import Contexts
from scirknn.devices.open_model import open_contexts
from scirknn.devices.run_plan import Run, cover
from scirknn.devices.session import choose_device
from scirknn.errors import BundleFormatError, InputError, NativeError, OutputRangeError
from scirknn.estimators.range_watch import InputRangeCounts, RangeWatch
from scirknn.input_checks import check_finite, check_rows, check_table

if TYPE_CHECKING:
    from scirknn.arrays import Array, Float32Array, Floats

_Self = TypeVar("_Self", bound="Estimator")

_CLASS_OF = {
    "classifier": "Classifier",
    "multilabel": "Classifier",
    "regressor": "Regressor",
    "transformer": "Transformer",
    "clusterer": "Clusterer",
    "outlier": "OutlierDetector",
}

BLOCK = 1 << 20
"""Values in work at a time, as input or output: memory does not grow with the rows of X."""


@dataclass(frozen=True)
class Finish:
    """What is made of a block's raw output, and of the network's inputs where it takes them.

    Attributes
    ----------
    compute : callable
        Of the raw output, shape (n, n_outputs), and of the inputs, float64 of shape (n, inputs), or None.
    takes_rows : bool
    """

    compute: Callable[[Array, Any], Array]
    takes_rows: bool


class Estimator:
    """What all loaded models share: the bundle, its contexts, and raw output."""

    _tasks: tuple[str, ...] = ()

    def __init__(
        self,
        path: PathLike | Bundle,
        *,
        device: str | None = None,
        core: str = "auto",
        runtime: str = "auto",
    ) -> None:
        self._parameters: dict[str, Any] = {"path": path, "device": device, "core": core, "runtime": runtime}
        bundle = path if isinstance(path, Bundle) else read_bundle(path)
        if bundle.task not in self._tasks:
            raise BundleFormatError(
                f"{bundle.path} holds an {bundle.estimator}; open it with scirknn.{_CLASS_OF[bundle.task]} "
                "or scirknn.load."
            )
        self.bundle = bundle
        self.device = "cpu" if bundle.on_host else choose_device(device)
        self.core = core
        if self.device == "npu":
            require_compatible(bundle.details.get("toolkit"))
        self.n_features_in_ = bundle.n_features_in
        self.n_outputs_ = bundle.n_outputs
        self.out_activation_ = bundle.head
        if bundle.feature_names is not None:
            self.feature_names_in_ = np.array(bundle.feature_names, dtype=object)
        if bundle.classes is not None and bundle.task in ("classifier", "multilabel"):
            self.classes_: Array = bundle.classes
        self._watch = None if bundle.input_range is None else RangeWatch(bundle)
        self._samples = tuple(variant.samples for variant in bundle.variants) or (1,)
        opened = open_contexts(bundle, self.device, core, runtime)
        self.runtime = opened.runtime
        self._contexts: Contexts | None = opened.contexts
        widest = max(bundle.channels, bundle.n_outputs * bundle.output_parts)
        # Full runs of the largest variant, as many as contexts or a few more.
        share = self._samples[-1] * len(self._contexts)
        self._block = share * max(1, BLOCK // widest // share)

    def raw_output(self, X: Any) -> Array:
        """Return the network's output before its output activation.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)
            Any real dtype and memory order; a memory-mapped file too. Beyond X and what is returned, memory
            does not grow with n.

        Returns
        -------
        numpy.ndarray, shape (n, n_outputs_)
            In the dtype in which scikit-learn would compute. Where ``bundle.head_on_npu``, the output
            activation has been applied.

        Raises
        ------
        InputError
            X is not what the model takes; scikit-learn's text.
        NativeError
            The runtime failed, or this process was forked from the one that opened the model.
        OutputRangeError
            The model answered NaN or infinity.
        """
        return self._answer(X, Finish(lambda output, rows: output, takes_rows=False))

    def network_inputs(self, X: Any) -> Floats:
        """Return what the host makes of X in front of the network, as a step of the epilogue may take it.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)

        Returns
        -------
        numpy.ndarray of float64, shape (n, inputs)
        """
        bundle, rows = self.bundle, self._check(X)
        rows = rows if bundle.columns is None else bundle.columns.take(rows, bundle.estimator)
        return np.asarray(bundle.expand(rows), np.float64)

    def _answer(self, X: Any, finish: Finish, *, is_checked: bool = False) -> Array:
        """Return what `finish` makes of X, a block of rows at a time."""
        X = X if is_checked else self._check(X)
        contexts = self._contexts
        if contexts is None:
            raise NativeError("run", None, f"{self.bundle.path.name} is closed; load it again.")
        contexts.require_own_process()
        rows, block = len(X), self._block
        if rows <= block:
            answer = self._block_answer(contexts, X, 0, finish)
        else:
            answer = self._in_blocks(contexts, X, finish)
        if self._watch is not None:
            self._watch.warn()
        return answer

    def _check(self, X: Any) -> Array:
        bundle, columns = self.bundle, self.bundle.columns
        names, first_step = bundle.feature_names, bundle.first_step
        if columns is None:
            return check_rows(X, bundle.n_features_in, names, bundle.estimator, first_step)
        first_step = first_step or bundle.estimator
        return check_table(X, bundle.n_features_in, names, first_step, named=columns.named)

    def _in_blocks(self, contexts: Contexts, X: Array, finish: Finish) -> Array:
        rows, block = len(X), self._block
        answer: Array | None = None
        for start in range(0, rows, block):
            part = self._block_answer(contexts, X[start : start + block], start, finish)
            if answer is None:
                answer = np.empty((rows, *part.shape[1:]), dtype=part.dtype)
            answer[start : start + block] = part
        assert answer is not None
        return answer

    def _block_answer(self, contexts: Contexts, X: Array, first: int, finish: Finish) -> Array:
        """Return what `finish` makes of a block of X that begins at its row `first`."""
        bundle = self.bundle
        rows = X if bundle.columns is None else bundle.columns.take(X, bundle.estimator)
        if bundle.features and bundle.columns is None:
            check_finite(X, bundle.estimator)  # a comparison makes a number of NaN
        if bundle.on_host:
            return finish.compute(self._host_input(rows), None)
        dtype = np.result_type(bundle.dtype, X.dtype if X.dtype.kind in "fiub" else np.float64)
        output = self._output(contexts, rows, first, dtype)
        inputs = np.asarray(bundle.expand(rows), np.float64) if finish.takes_rows else None
        return finish.compute(output, inputs)

    def _output(self, contexts: Contexts, rows: Array, first: int, dtype: Any) -> Array:
        """Return the raw output for rows, of which the first is row `first` of X."""
        bundle = self.bundle
        output = np.empty((len(rows), bundle.n_outputs), dtype=dtype)
        answers = bundle.n_outputs * bundle.output_parts
        model_input = self._model_input(rows)

        def run(part: Run) -> None:
            run_input = model_input[part.start : part.stop]
            if len(run_input) < part.samples:
                run_input = np.concatenate(
                    [run_input, np.zeros((part.samples - len(run_input), bundle.channels), dtype=np.float32)]
                )
            answer = contexts.run(part.samples, run_input)
            if answer.shape[1] != answers:
                raise NativeError(
                    "run", None, f"{bundle.path.name} has {answer.shape[1]} outputs, not {answers}."
                )
            output[part.start : part.stop] = bundle.join(answer[: part.stop - part.start])

        contexts.each(run, cover(len(rows), self._samples))
        if not np.isfinite(output).all():
            row = first + int(np.flatnonzero(~np.isfinite(output).all(axis=1))[0])
            raise OutputRangeError(
                f"The model answered NaN or infinity for row {row} of X: a value left the range of "
                f"{bundle.precision}. If that row is unlike the data the model was fitted on, mend the row; "
                "otherwise scale the features before fitting and convert the model again."
            )
        if bundle.output is not None:
            output -= bundle.output.offset
            output *= bundle.output.scale
        return output

    def _host_input(self, X: Array) -> Array:
        """Return what the epilogue takes where there is no network, float64."""
        expanded: Array = np.asarray(self.bundle.expand(X), np.float64)
        with np.errstate(over="ignore"):
            inside = np.isfinite(expanded.astype(np.float32))
        if self.bundle.accepts_missing:
            inside |= np.isnan(expanded)
        if not inside.all():
            if not self.bundle.accepts_missing:
                check_finite(X, self.bundle.estimator)
            raise InputError("Input X contains infinity or a value too large for dtype('float32').")
        return expanded

    def _model_input(self, X: Array) -> Float32Array:
        """Return rows as the model takes them: prepared, float32, padded to its channels."""
        bundle = self.bundle
        prepared = bundle.prepare(X)
        rows, width = prepared.shape
        if prepared.dtype == np.float32 and prepared.flags.c_contiguous and width == bundle.channels:
            model_input = prepared
        else:
            model_input = np.empty((rows, bundle.channels), dtype=np.float32)
            with np.errstate(over="ignore"):
                model_input[:, :width] = prepared
            model_input[:, width:] = 0
        watch = self._watch
        inside = np.isfinite(model_input) if watch is None else watch.inside(model_input)
        is_inside = inside.all()
        if not is_inside and not np.isfinite(model_input).all():
            check_finite(X, bundle.estimator)
            check_finite(bundle.expand(X), bundle.estimator)
            raise InputError("Input X contains infinity or a value too large for dtype('float32').")
        if watch is not None:
            watch.count(X, None if is_inside else inside)
        return model_input

    @property
    def input_range_counts(self) -> InputRangeCounts | None:
        """Rows since the model was opened, and those outside its calibrated range.

        None where the bundle has no range: float16, or an older converter.
        """
        return None if self._watch is None else self._own_watch(self._watch).counts()

    def input_range_text(self) -> str:
        """Describe the rows outside the model's range so far; empty where none was."""
        return "" if self._watch is None else self._own_watch(self._watch).text()

    def _own_watch(self, watch: RangeWatch) -> RangeWatch:
        if self._contexts is not None:
            self._contexts.require_own_process()
        return watch

    def fit(self, X: Any, y: Any = None) -> NoReturn:
        """Refuse to fit.

        It is here so that scikit-learn's tools for fitted estimators take this one.

        Raises
        ------
        InputError
        """
        name = self.bundle.estimator
        raise InputError(
            f"A converted {name} cannot be fitted: fit scikit-learn's and convert it with sklearn2rknn."
        )

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return what the estimator was opened with: ``path``, ``device``, ``core``, ``runtime``."""
        return dict(self._parameters)

    def set_params(self: _Self, **params: Any) -> _Self:
        """Close the model and open it with other parameters.

        Raises
        ------
        InputError
            There is no such parameter.
        """
        unknown = sorted(set(params) - set(self._parameters))
        if unknown:
            raise InputError(
                f"Invalid parameter {unknown[0]!r} for estimator {self!r}. Valid parameters are: "
                f"{list(self._parameters)}."
            )
        if params:
            self.close()
            self.__init__(**{**self._parameters, **params})  # type: ignore[misc]
        return self

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def __sklearn_tags__(self) -> Any:
        # Only scikit-learn asks, and where it does it is installed.
        from sklearn.utils import ClassifierTags, InputTags, RegressorTags, Tags, TargetTags, TransformerTags

        task, takes_nan = self.bundle.task, self.bundle.accepts_missing or self.bundle.columns is not None
        is_classifier, is_regressor = task in ("classifier", "multilabel"), task == "regressor"
        several = task == "multilabel" or (is_regressor and not self.bundle.single_output)
        kind = {"multilabel": "classifier", "transformer": None, "outlier": "outlier_detector"}.get(
            task, task
        )
        return Tags(
            estimator_type=kind,
            target_tags=TargetTags(required=is_classifier or is_regressor, multi_output=several),
            classifier_tags=ClassifierTags(multi_label=task == "multilabel") if is_classifier else None,
            regressor_tags=RegressorTags() if is_regressor else None,
            transformer_tags=TransformerTags() if task == "transformer" else None,
            input_tags=InputTags(sparse=True, allow_nan=takes_nan),
        )

    def close(self) -> None:
        """Release the NPU; more than once does no harm."""
        contexts, self._contexts = self._contexts, None
        if contexts is not None:
            contexts.close()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> Any:
        # What is pickled is how to open it again: contexts belong to their process.
        return partial(type(self), **self._parameters), ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.bundle.path)!r}, device={self.device!r}, core={self.core!r})"
