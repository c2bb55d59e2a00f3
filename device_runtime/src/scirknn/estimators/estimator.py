"""What all loaded models share."""

from __future__ import annotations

from collections import deque
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Callable, NoReturn, TypeVar

import numpy as np

from scirknn.answers import answer_width, finisher, main_method, responses_of
from scirknn.arrays import Array, Float32Array, Floats
from scirknn.bundle.contents import Bundle, PathLike
from scirknn.bundle.files import read_bundle
from scirknn.devices.lazy_threads import LazyThreads
from scirknn.devices.session import choose_device
from scirknn.errors import BundleFormatError, InputError, NativeError, OutputRangeError
from scirknn.estimators.one_row import OneRow
from scirknn.estimators.range_watch import InputRangeCounts, RangeWatch
from scirknn.estimators.scores import score_name
from scirknn.input_checks import check_finite, check_rows, check_table
from scirknn.networks.network import Network
from scirknn.networks.open_networks import OpenNetworks, open_networks
from scirknn.networks.run_plan import VALUES, cut
from scirknn.steps.step import take_rows

_Self = TypeVar("_Self", bound="Estimator")

_CLASS_OF = {
    "classifier": "Classifier",
    "multilabel": "Classifier",
    "regressor": "Regressor",
    "transformer": "Transformer",
    "clusterer": "Clusterer",
    "outlier": "OutlierDetector",
}


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


def _count_outputs(bundle: Bundle) -> int:
    """Return scikit-learn's ``n_outputs_``: a network's columns, or the targets where steps are behind it."""
    if not bundle.epilogue:
        return bundle.n_outputs
    if bundle.task == "classifier":
        return 1
    return answer_width(bundle, bundle.n_outputs, main_method(bundle))


class Estimator:
    """What all loaded models share: the bundle, its networks, and raw output."""

    _tasks: tuple[str, ...] = ()

    def __init__(
        self,
        path: PathLike | Bundle,
        *,
        device: str | None = None,
        core: str = "auto",
        runtime: str = "auto",
    ) -> None:
        bundle = path if isinstance(path, Bundle) else read_bundle(path)
        path = bundle.path if isinstance(path, Bundle) else path
        self._parameters: dict[str, Any] = {"path": path, "device": device, "core": core, "runtime": runtime}
        if bundle.task not in self._tasks:
            raise BundleFormatError(
                f"{bundle.path} holds a model of {bundle.estimator}; open it with "
                f"scirknn.{_CLASS_OF[bundle.task]} or scirknn.load."
            )
        self.bundle = bundle
        self.device = "cpu" if bundle.on_host else choose_device(device)
        self.core = core
        self.n_features_in_ = bundle.n_features_in
        self.n_outputs_ = _count_outputs(bundle)
        self.out_activation_ = bundle.head
        if bundle.feature_names is not None:
            self.feature_names_in_ = np.array(bundle.feature_names, dtype=object)
        if bundle.classes is not None and bundle.task in ("classifier", "multilabel"):
            self.classes_: Any = bundle.classes if bundle.classes.ndim == 1 else list(bundle.classes)
        self._finishes = {
            method: Finish(finisher(bundle, method), take_rows((*bundle.epilogue, *own)))
            for method, own in responses_of(bundle).items()
        }
        self._available = {*self._finishes, *(() if score_name(bundle) == "none" else ("score",))}
        self._networks: OpenNetworks | None = open_networks(bundle, self.device, core, runtime)
        self.runtime = self._networks.runtime
        is_watched = bundle.input_range is not None and self._networks.watch_range
        self._watch = RangeWatch(bundle) if is_watched else None
        self._calls = LazyThreads(2 * self._networks.workers, f"scirknn-{bundle.path.name}-call")
        self._one_row = self._bound_row(self._networks.for_rows(1))

    def _bound_row(self, network: Network | None) -> OneRow | None:
        if network is None or not OneRow.takes(self.bundle, network):
            return None
        return OneRow(self.bundle, network, self._watch if network.watches_range else None)

    def device_for(self, n_rows: int) -> str:
        """Return where a call of so many rows is computed.

        Returns
        -------
        {"npu", "virtual", "cpu"}
            With ``device="auto"`` the faster one, by what was measured on this board, else by estimates.

        Raises
        ------
        InputError
            It is no number of rows.
        NativeError
            The model is closed.
        """
        if not isinstance(n_rows, (int, np.integer)) or n_rows < 1:
            raise InputError(f"n_rows is {n_rows!r:.60}; it can be an integer from 1 on.")
        return self._require_open().device_for(int(n_rows))

    def raw_output(self, X: Any) -> Array:
        """Return the network's output before its output activation.

        Parameters
        ----------
        X : array-like, shape (n, n_features_in_)
            Any real dtype and memory order; a memory-mapped file too. Beyond X and what is returned, memory
            does not grow with n.

        Returns
        -------
        numpy.ndarray, shape (n, bundle.n_outputs)
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
        return np.asarray(self.bundle.expand(self.bundle.take(self._check(X))), np.float64)

    def _answer(self, X: Any, finish: Finish, *, is_checked: bool = False) -> Array:
        """Return what `finish` makes of X, a block of rows at a time."""
        networks = self._require_open()
        networks.require_own_process()
        output = None if self._one_row is None else self._one_row.output(X)
        if output is not None:
            return finish.compute(output, None)
        X = X if is_checked else self._check(X)
        answer = self._in_blocks(networks.for_rows(len(X)), X, finish)
        if self._watch is not None:
            self._watch.warn()
        return answer

    def _require_open(self) -> OpenNetworks:
        if self._networks is None:
            raise NativeError("run", None, f"{self.bundle.path.name} is closed; load it again.")
        return self._networks

    def _check(self, X: Any) -> Array:
        bundle, columns = self.bundle, self.bundle.columns
        names, first_step = bundle.feature_names, bundle.first_step
        if columns is None:
            return check_rows(X, bundle.n_features_in, names, bundle.estimator, first_step)
        first_step = first_step or bundle.estimator
        return check_table(X, bundle.n_features_in, names, first_step, named=columns.named)

    def _in_blocks(self, network: Network | None, X: Array, finish: Finish) -> Array:
        rows = len(X)
        host_block = max(1, VALUES // self.bundle.channels)
        blocks = cut(rows, host_block) if network is None else network.blocks(rows)
        taken: deque[Array] = deque()  # blocks of rows between being prepared and being answered
        inputs = (self._prepared(network, X[block], taken) for block in blocks)
        answer: Array | None = None
        with closing(inputs if network is None else network.outputs(inputs, len(blocks))) as outputs:
            for block, output in zip(blocks, outputs):
                rows_of_block, again = taken.popleft(), None
                if network is not None:
                    output = self._mapped(network, output, X.dtype, block.start)
                    if finish.takes_rows:
                        again = np.asarray(self.bundle.expand(rows_of_block), np.float64)
                part = finish.compute(output, again)
                if len(blocks) == 1:
                    return part
                if answer is None:
                    answer = np.empty((rows, *part.shape[1:]), dtype=part.dtype)
                answer[block] = part
        assert answer is not None, "X has rows"
        return answer

    def _prepared(self, network: Network | None, X: Array, taken: deque[Array]) -> Array:
        """Return what the network, or without one the epilogue, takes for a block; keep its rows."""
        rows = self.bundle.take(X)
        if self.bundle.features and self.bundle.columns is None and not self.bundle.accepts_missing:
            check_finite(X, self.bundle.estimator)  # a comparison makes a number of NaN
        taken.append(rows)
        return self._host_input(rows) if network is None else self._model_input(network, rows)

    def _mapped(self, network: Network, answer: Array, given: Any, first: int) -> Array:
        """Return the raw output for an answer to rows of X, of dtype `given`, from row `first` on."""
        dtype = given if given.kind in "fiub" else np.float64
        output = answer.astype(np.result_type(self.bundle.dtype, dtype))
        if not np.isfinite(output).all():
            row = first + int(np.flatnonzero(~np.isfinite(output).all(axis=1))[0])
            raise OutputRangeError(
                f"The model answered NaN or infinity for row {row} of X: a value left the range of "
                f"{network.precision}. If that row is unlike the data the model was fitted on, mend the row; "
                "otherwise convert the model again with such rows in example_input, or scale the features "
                "before fitting."
            )
        if network.output is not None:
            output -= network.output.offset
            output *= network.output.scale
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

    def _model_input(self, network: Network, X: Array) -> Float32Array:
        """Return rows as the network takes them: prepared, float32, padded to its channels."""
        channels, prepared = network.channels, network.prepare(X)
        rows, width = prepared.shape
        if prepared.dtype == np.float32 and prepared.flags.c_contiguous and width == channels:
            model_input = prepared
        else:
            model_input = np.empty((rows, channels), dtype=np.float32)
            with np.errstate(over="ignore"):
                model_input[:, :width] = prepared
            model_input[:, width:] = 0
        watch = self._watch if network.watches_range else None
        inside = np.isfinite(model_input) if watch is None else watch.inside(model_input)
        is_inside = inside.all()
        if not is_inside and not np.isfinite(model_input).all():
            check_finite(X, self.bundle.estimator)
            check_finite(self.bundle.expand(X), self.bundle.estimator)
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
        if self._networks is not None:
            self._networks.require_own_process()
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
        """Release the NPU once what was submitted is answered; more than once does no harm."""
        self._calls.close(wait=True)
        networks, self._networks, self._one_row = self._networks, None, None
        if networks is not None:
            networks.close()

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> Any:
        # What is pickled is how to open it again: contexts belong to their process.
        return partial(type(self), **self._parameters), ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self.bundle.path)!r}, device={self.device!r}, core={self.core!r})"
