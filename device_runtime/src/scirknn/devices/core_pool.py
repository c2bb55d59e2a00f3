"""A bundle's model files, loaded in one context or in one on each core.

On small models as many contexts as cores do more than one context on all cores: MatMul, Sigmoid, Tanh and
Softmax never spread over cores (vendor's compiler support list, 2.3.2), and users measured 1.78 against 1.26
times the rows of one core.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Callable, Dict, Iterable, Iterator

from scirknn.devices.protocol import Session
from scirknn.devices.run_plan import Run
from scirknn.errors import NativeError

if TYPE_CHECKING:
    from scirknn.arrays import Float32Array

__all__ = ["Contexts"]

Context = Dict[int, Session]
"""A session by the rows that one run of it takes."""


class Contexts:
    """One context, whose callers take turns.

    `name` is the model's, for the texts; each of `contexts` holds sessions by the rows of one run, ascending.
    """

    def __init__(self, name: str, contexts: list[Context]) -> None:
        self._name, self._contexts = name, contexts
        self._process = os.getpid()

    def require_own_process(self) -> None:
        """Refuse a process that inherited the contexts: another thread may have held their locks at its fork.

        Raises
        ------
        NativeError
        """
        if self._process != os.getpid():
            raise NativeError(
                "run",
                None,
                f"{self._name} was opened by process {self._process}, and this one was forked from it: a "
                "context belongs to the process that opened it. Load the model again in this process, or "
                "start it with multiprocessing's 'spawn' or 'forkserver'.",
            )

    def __len__(self) -> int:
        return len(self._contexts)

    def run(self, samples: int, rows: Float32Array) -> Float32Array:
        """Run the variant of `samples` rows on rows (samples, C); return (samples, K)."""
        return self._contexts[0][samples].run(rows)

    def each(self, work: Callable[[Run], None], runs: Iterable[Run]) -> None:
        """Do `work`, which calls `run`, for each of `runs`."""
        for run in runs:
            work(run)

    def close(self) -> None:
        """Release the NPU; more than once does no harm. A forked process leaves it to its parent."""
        if self._process == os.getpid():
            close_contexts(self._contexts)


class CorePool(Contexts):
    """Several contexts; a run takes whichever is idle."""

    def __init__(self, name: str, contexts: list[Context]) -> None:
        from concurrent.futures import ThreadPoolExecutor
        from queue import SimpleQueue

        super().__init__(name, contexts)
        self._idle: SimpleQueue[Context] = SimpleQueue()
        for context in contexts:
            self._idle.put(context)
        # The caller's own thread is one more.
        self._threads = ThreadPoolExecutor(len(contexts) - 1, thread_name_prefix=f"scirknn-{name}")
        self._failure: NativeError | None = None
        self._failing = threading.Lock()

    def run(self, samples: int, rows: Float32Array) -> Float32Array:
        """Run the variant of `samples` rows in an idle context."""
        context = self._idle.get()
        try:
            if self._failure is not None:
                raise self._ended()
            return context[samples].run(rows)
        except NativeError as error:
            with self._failing:
                if self._failure is not None:
                    raise self._ended() from None
                self._failure = error
            self.close()
            raise
        finally:
            self._idle.put(context)

    def each(self, work: Callable[[Run], None], runs: Iterable[Run]) -> None:
        """Do `work` for each of `runs`, in as many threads as contexts."""
        todo = list(runs)
        if len(todo) < 2:
            super().each(work, todo)
            return
        shared, errors = SharedIterator(todo), []

        def take_runs() -> None:
            try:
                for run in shared:
                    work(run)
            except BaseException as error:
                shared.stop()
                errors.append(error)

        try:
            helpers = [self._threads.submit(take_runs) for _ in range(min(len(todo), len(self)) - 1)]
        except RuntimeError:  # closed; the run itself says so
            helpers = []
        take_runs()
        for helper in helpers:
            if not helper.cancel():
                helper.result()
        if errors:
            # The one that broke the pool, not one that met it broken.
            raise next((error for error in errors if error is self._failure), errors[0])

    def close(self) -> None:
        """Release the NPU; more than once does no harm. A forked process leaves it to its parent."""
        if self._process == os.getpid():
            self._threads.shutdown(wait=False)
        super().close()

    def _ended(self) -> NativeError:
        return NativeError(
            "run", None, f"{self._name} was closed when one of its contexts failed: {self._failure}"
        )


class SharedIterator:
    """Runs that several threads take, each once."""

    def __init__(self, runs: list[Run]) -> None:
        self._runs = iter(runs)
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Run]:
        return self

    def __next__(self) -> Run:
        with self._lock:
            return next(self._runs)

    def stop(self) -> None:
        """Give out no more."""
        with self._lock:
            self._runs = iter(())


def close_contexts(contexts: Iterable[Context]) -> None:
    """Release every session."""
    for context in contexts:
        for session in context.values():
            session.close()
