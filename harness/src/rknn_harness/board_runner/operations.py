"""The child process's answers to requests; only here a native library is loaded."""

from __future__ import annotations

import dataclasses
import os
import secrets
import shutil
import time
from typing import Any, Callable, Dict, Iterable, Mapping, Tuple

import numpy as np

from rknn_harness.board_runner import frames
from rknn_harness.board_runner.cpu_baseline import in_scikit_learn
from rknn_harness.board_runner.facts import gather
from rknn_harness.board_runner.raw_model import CORES, RawModel
from rknn_harness.board_runner.stopwatch import SamplingBounds, sample
from scirknn.arrays import Array
from scirknn.files import sha256_of_file

DEVICES = ("npu", "virtual")
Answer = Tuple[Dict[str, Any], Dict[str, Array]]


class BadRequest(Exception):
    """A request that no board could answer: the caller is wrong, not the board."""


class Operations:
    """Answers requests, one after another, about at most one loaded model.

    Bundles lie below `work_folder`, the machine's files below `root`. The rows of a request stay until others
    come: a request about the same, or the first of them, has their number, ``rows``, in place of the array
    ``X``.
    """

    def __init__(self, work_folder: str, root: str = "/") -> None:
        self._work_folder, self._root = work_folder, root
        self._model: Any = None
        self._place = "", ""  # of the loaded bundle: its path, the device
        self._opening = False
        self._X: Array | None = None
        self._suffix = secrets.token_hex(4)  # of temporary folders

    def answer(self, frame: frames.Frame) -> tuple[dict[str, Any], dict[str, Array]]:
        """Return the answer's header, without ``id``, and its arrays.

        Every exception becomes an error answer.
        """
        op = frame.header.get("op")
        operation = self._operations().get(op) if isinstance(op, str) else None
        try:
            if operation is None:
                raise BadRequest(f"no operation is named {op!r:.40}")
            arrays = frames.decode_arrays(frame)
            self._opening = False
            begin = time.perf_counter()
            header, answer = operation(frame.header, arrays)
            return {"ok": True, **header, "seconds": time.perf_counter() - begin}, answer
        except (BadRequest, frames.ProtocolViolation) as error:
            return failure("bad_request", error), {}
        except Exception as error:
            # By name, for scirknn may be what failed to import.
            if type(error).__name__ == "InputError":
                return failure("bad_request", error), {}
            return failure("load_error" if self._opening else "run_error", error), {}

    def _operations(self) -> dict[str, Callable[[Mapping[str, Any], dict[str, Array]], Answer]]:
        return {
            "hello": self._hello,
            "facts": self._facts,
            "doctor": self._doctor,
            "digests": self._digests,
            "store": self._store,
            "load": self._load,
            "predict": self._predict,
            "outputs": self._outputs,
            "cores": self._cores,
            "time": self._time,
            "time_cpu": self._time_cpu,
            "raw_load": self._raw_load,
            "raw_run": self._raw_run,
            "raw_time": self._raw_time,
            "close": self._close,
        }

    def _hello(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Answer:
        import scirknn

        found = {
            "protocol": frames.VERSION,
            "scirknn": getattr(scirknn, "__version__", None),
            "scirknn_file": scirknn.__file__,
            "runner_pid": os.getppid(),
            "child_pid": os.getpid(),
        }
        return found, {}

    def _facts(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Answer:
        return {"facts": gather(self._root, _device(header))}, {}

    def _doctor(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Answer:
        from scirknn.doctor import examine

        found = examine(device=_device(header), root=self._root)
        return {"findings": [dataclasses.asdict(finding) for finding in found]}, {}

    def _digests(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Answer:
        paths = header.get("paths")
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise BadRequest(f"paths is {paths!r:.80}; it must be a list of texts")
        return {"digests": _digests_in("", paths)}, {}

    def _store(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Answer:
        """Add bytes to files of a new folder; a request with ``complete`` puts it in place.

        That one's answer has the digests of the files, in the order of their names.
        """
        folder = self._below(header, "folder")
        for name, content in arrays.items():
            if not name or name in (".", "..") or "/" in name or content.dtype != np.uint8:
                raise BadRequest(f"array {name!r:.40} is no file: a bare name and bytes are needed")
        place, own = os.path.split(folder)
        part = os.path.join(place, f".{own}.{self._suffix}.part")
        try:
            os.makedirs(part, exist_ok=True)
            for name, content in arrays.items():
                with open(os.path.join(part, name), "ab") as file:
                    file.write(content.data)
            digests = _put_in_place(part, folder) if header.get("complete") is True else []
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        return {"digests": digests}, {}

    def _load(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Answer:
        self._open(self._below(header, "bundle"), _device(header), header.get("core"))
        return {}, {}

    def _open(self, path: str, device: str, core: Any) -> None:
        """Load a bundle in place of the model that is loaded."""
        self._opening = True
        self._close({}, {})
        import scirknn

        # A name that scirknn does not know is refused there.
        self._model = scirknn.load(path, device=device, **({"core": core} if core else {}))
        self._place = path, device
        self._opening = False

    def _raw_load(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Answer:
        path, device, core = self._below(header, "file"), _device(header), header.get("core")
        if core not in CORES:
            raise BadRequest(f"core is {core!r:.40}; it can be one of {', '.join(CORES)}")
        self._opening = True
        self._close(header, arrays)
        self._model = RawModel(path, device, core)
        return {}, {}

    def _raw_run(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Answer:
        return {}, {"y": self._require_model(raw=True).run(_rows(arrays))}

    def _raw_time(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Answer:
        call = self._require_model(raw=True).call(_rows(arrays))
        return {}, {"samples": sample(call, _bounds(header))}

    def _below(self, header: Mapping[str, Any], key: str) -> str:
        name = header.get(key)
        if not isinstance(name, str) or os.path.isabs(name) or ".." in name.split("/"):
            raise BadRequest(f"{key} is {name!r:.80}; it must be a path below the work folder")
        return os.path.join(self._work_folder, name)

    def _predict(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Answer:
        model, rows = self._require_model(), self._rows_of(header, arrays)
        output = model.raw_output(rows)
        inputs = model.network_inputs(rows) if model.bundle.takes_rows else None
        # Not predict() and predict_proba(), each of which would run the network once more.
        answer = {
            "output": np.asarray(output, dtype="<f4"),
            "predictions": frames.to_wire_dtype(model.decide(output, inputs)),
        }
        if hasattr(model, "probabilities"):
            answer["probabilities"] = frames.to_wire_dtype(model.probabilities(output, inputs))
        return {}, answer

    def _outputs(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Answer:
        """Run the model on each array but X: integers choose rows of X, two axes are rows."""
        model, X = self._require_model(), self._rows_of(header, arrays)
        answer = {}
        for name, array in arrays.items():
            if array.ndim == 1:
                if array.dtype.kind != "i" or not ((array >= 0) & (array < len(X))).all():
                    raise BadRequest(f"array {name!r:.40} chooses rows that are not there")
                array = X[array]
            answer[name] = np.asarray(model.raw_output(array), dtype="<f4")
        return {}, answer

    def _cores(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Answer:
        """Load the loaded bundle once more for each of `cores`, and run it there."""
        self._require_model()
        rows, cores, answer = self._rows_of(header, arrays), header.get("cores"), {}
        if not isinstance(cores, list) or not all(isinstance(core, str) for core in cores):
            raise BadRequest(f"cores is {cores!r:.80}; it must be a list of names")
        for core in cores:
            self._open(*self._place, core)
            answer[core] = np.asarray(self._model.raw_output(rows), dtype="<f4")
        return {}, answer

    def _time(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Answer:
        model, rows = self._require_model(), self._rows_of(header, arrays)
        answer = getattr(model, model.main_method)
        return {}, {"samples": sample(lambda: answer(rows), _bounds(header))}

    def _time_cpu(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Answer:
        """Time the loaded bundle on the CPU, where it stays loaded; with ``sklearn`` in scikit-learn too."""
        self._require_model()
        rows, bounds = self._rows_of(header, arrays), _bounds(header)
        self._open(self._place[0], "cpu", None)
        bundle, in_numpy = self._model.bundle, getattr(self._model, self._model.main_method)
        answer = {"samples numpy": sample(lambda: in_numpy(rows), bounds)}
        predict = in_scikit_learn(bundle) if header.get("sklearn") is True else None
        if predict is not None:
            inputs = bundle.network_input(bundle.take(rows))
            answer["samples scikit-learn"] = sample(lambda: predict(inputs), bounds)
        return {}, answer

    def _close(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Answer:
        model, self._model = self._model, None
        if model is not None:
            model.close()
        return {}, {}

    def _rows_of(self, header: Mapping[str, Any], arrays: dict[str, Array]) -> Array:
        """Take a request's rows: the array X, or the first ones of the last X."""
        if "X" in arrays:
            self._X = frames.from_wire_table(arrays.pop("X"))
            return self._X
        count = header.get("rows")
        if self._X is None or type(count) is not int or not 0 < count <= len(self._X):
            raise BadRequest(f"rows is {count!r:.40}, and no such rows are here: send an array 'X'")
        return self._X[:count]

    def _require_model(self, raw: bool = False) -> Any:
        if self._model is None or isinstance(self._model, RawModel) != raw:
            raise BadRequest("no model is loaded: load one; after a timeout or a crash, load it again")
        return self._model


def _put_in_place(part: str, folder: str) -> list[str]:
    """Rename a folder of files, unless the other has the same; return the digests of the files."""
    names = sorted(os.listdir(part))
    digests = _digests_in(part, names)
    if _digests_in(folder, names) == digests:
        shutil.rmtree(part)
    else:
        shutil.rmtree(folder, ignore_errors=True)
        os.rename(part, folder)
    return digests


def _digests_in(folder: str, names: Iterable[str]) -> list[str]:
    """Return the SHA-256 of files of a folder, or an empty list when one is missing."""
    try:
        return [sha256_of_file(os.path.join(folder, name)) for name in names]
    except FileNotFoundError:
        return []


def _device(header: Mapping[str, Any]) -> str:
    device = header.get("device")
    if device not in DEVICES:
        raise BadRequest(f"device is {device!r:.40}; it can be 'npu' or 'virtual'")
    return str(device)


def _bounds(header: Mapping[str, Any]) -> SamplingBounds:
    counts = (number_of(header, name, 1_000_000) for name in ("warmup", "min_count"))
    seconds = (number_of(header, name, 86_400) for name in ("min_seconds", "max_seconds"))
    return SamplingBounds(*counts, *seconds)  # type: ignore[arg-type]


def _rows(arrays: Mapping[str, Array]) -> Array:
    if set(arrays) != {"X"}:
        raise BadRequest(f"the arrays are {sorted(arrays)}; one named 'X' is needed")
    return arrays["X"]


def number_of(header: Mapping[str, Any], key: str, most: float) -> float:
    """Return a request's number, or refuse it."""
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        raise BadRequest(f"{key} is {value!r:.40}; it must be a number from 0 to {most:.0f}")
    return value


def failure(kind: str, error: BaseException) -> dict[str, Any]:
    """Return the header of an error answer, without its ``id``."""
    code = getattr(error, "code", None)
    return {
        "ok": False,
        "error": {
            "kind": kind,
            "type": type(error).__name__,
            # Not str(error) alone, which is empty for some exceptions.
            "message": (str(error) or repr(error))[:4000],
            "code": code if isinstance(code, int) else None,
        },
    }
