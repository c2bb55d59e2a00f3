"""A bundle's model files, loaded in one context or in one on each core.

On small models as many contexts as cores do more than one context on all cores: MatMul, Sigmoid, Tanh and
Softmax never spread over cores (vendor's compiler support list, 2.3.2), and two contexts were measured to run
1.78 times the rows of one core, one context on all cores 1.26 times [silicon: jaylfc/taOS issue 59].
"""

from __future__ import annotations

import os
import threading
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Callable, Dict, Iterable, TypeVar

from scirknn.arrays import Array, Float32Array
from scirknn.devices.lazy_threads import LazyThreads
from scirknn.devices.protocol import Session
from scirknn.errors import NativeError

_Given = TypeVar("_Given")
_Result = TypeVar("_Result")

Context = Dict[int, Session]
"""A session by the rows that one run of it takes."""


class Contexts:
    """One context, whose callers take turns.

    `name` is the model's, for the texts; each of `contexts` holds sessions by the rows of one run, ascending.
    """

    def __init__(self, name: str, contexts: list[Context]) -> None:
        self._name, self._contexts = name, contexts
        self._process = os.getpid()
        self._threads = LazyThreads(len(contexts), f"scirknn-{name}")

    def require_own_process(self) -> None:
        """Refuse a process that inherited the contexts: another thread may have held their locks at its fork.

        Raises
        ------
        NativeError
        """
        if not self._is_own_process():
            raise NativeError(
                "run",
                None,
                f"{self._name} was opened by process {self._process}, and this one was forked from it: a "
                "context belongs to the process that opened it. Load the model again in this process, or "
                "start it with multiprocessing's 'spawn' or 'forkserver'.",
            )

    def _is_own_process(self) -> bool:
        return self._process == os.getpid()

    def __len__(self) -> int:
        return len(self._contexts)

    def run(self, samples: int, rows: Float32Array) -> Float32Array:
        """Run the variant of `samples` rows on rows (samples, C); return (samples, K)."""
        return self._contexts[0][samples].run(rows)

    def encode(self, samples: int, rows: Float32Array) -> Array:
        """Do the host's work in front of `run_encoded`; see `Session`."""
        return self._contexts[0][samples].encode(rows)

    def run_encoded(self, samples: int, memory: Array) -> Array:
        """Run the variant of `samples` rows on what `encode` returned."""
        return self._contexts[0][samples].run_encoded(memory)

    def decode(self, samples: int, memory: Array) -> Float32Array:
        """Return (samples, K) for what `run_encoded` returned."""
        return self._contexts[0][samples].decode(memory)

    def submit(self, work: Callable[[_Given], _Result], given: _Given) -> Future[_Result]:
        """Do `work`, which calls `run` or `run_encoded`, in another thread: there is one for each context."""
        return self._threads.submit(lambda: work(given))

    def close(self) -> None:
        """Release the NPU; more than once does no harm. A forked process leaves it to its parent."""
        if self._is_own_process():
            self._threads.close(wait=False)
            close_contexts(self._contexts)


class CorePool(Contexts):
    """Several contexts; a run takes whichever is idle."""

    def __init__(self, name: str, contexts: list[Context]) -> None:
        super().__init__(name, contexts)
        self._idle: SimpleQueue[Context] = SimpleQueue()
        for context in contexts:
            self._idle.put(context)
        self._failure: NativeError | None = None
        self._failing = threading.Lock()

    def run(self, samples: int, rows: Float32Array) -> Float32Array:
        """Run the variant of `samples` rows in an idle context."""
        return self._in_idle(lambda context: context[samples].run(rows))

    def run_encoded(self, samples: int, memory: Array) -> Array:
        """Run the variant of `samples` rows, in an idle context, on what `encode` returned."""
        return self._in_idle(lambda context: context[samples].run_encoded(memory))

    def _in_idle(self, run: Callable[[Context], Array]) -> Array:
        context = self._idle.get()
        try:
            if self._failure is not None:
                raise self._ended() from self._failure
            return run(context)
        except NativeError as error:
            with self._failing:
                if self._failure is not None:
                    raise self._ended() from self._failure
                self._failure = error
            self.close()
            raise
        finally:
            self._idle.put(context)

    def _ended(self) -> NativeError:
        return NativeError(
            "run", None, f"{self._name} was closed when one of its contexts failed: {self._failure}"
        )


def close_contexts(contexts: Iterable[Context]) -> None:
    """Release every session."""
    for context in contexts:
        for session in context.values():
            session.close()
