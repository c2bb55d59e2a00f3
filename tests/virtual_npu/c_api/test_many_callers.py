"""librknnrt.so with many callers at once, and for long."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.virtual_npu.c_api import librknnrt
from tests.virtual_npu.c_api.librknnrt import (
    Context,
)
from tests.virtual_npu.c_api.models import (
    CTX,
    MODELS,
    NHWC_ROWS,
    UNAVAILABLE,
    executor_answer,
)
from tests.virtual_npu.rknn_writer import Chain, Dense, write

pytestmark = pytest.mark.skipif(bool(librknnrt.missing()), reason=librknnrt.missing())


def test_threads_and_contexts_never_mix_results(library: Any) -> None:
    """8 threads over 3 contexts; set, run and get are one turn under the caller's lock."""
    contexts = [Context(library, MODELS[dtype]) for dtype in MODELS]
    locks = [threading.Lock() for _ in contexts]
    failures: list[str] = []

    def work(seed: int) -> None:
        rng = np.random.default_rng(seed)
        for _ in range(30):
            which = int(rng.integers(3))
            rows = rng.normal(size=(5, 24)).astype(np.float32)
            with locks[which]:
                answer = contexts[which].infer(rows[None, :, None, :])
            if not np.array_equal(answer, executor_answer(list(MODELS)[which], rows)):
                failures.append(f"thread {seed}, context {which}")

    _together([threading.Thread(target=work, args=(seed,)) for seed in range(8)])
    assert not failures
    assert [context.close() for context in contexts] == [0, 0, 0]


def test_destroying_a_context_in_use_is_safe(library: Any) -> None:
    for _ in range(10):
        context = Context(library, MODELS["float16"])
        assert context.set_input(NHWC_ROWS) == 0
        codes: list[int] = []

        def work(context: Context = context, codes: list[int] = codes) -> None:
            codes.extend(context.run() for _ in range(40))

        threads = [threading.Thread(target=work) for _ in range(3)]
        closing = threading.Thread(target=lambda context=context, codes=codes: codes.append(context.close()))
        _together([*threads, closing])
        assert set(codes) <= {0, CTX}
        assert context.close() == CTX


def test_contexts_are_counted(library: Any, server: tuple[Path, int]) -> None:
    opened = [Context(library, MODELS["int8"]) for _ in range(70)]
    codes = [context.code for context in opened]
    for context in opened:
        context.close()
    assert set(codes) == {0, UNAVAILABLE}
    assert 50 <= codes.count(0) <= 64  # other tests' connections may not have ended yet


def test_memory_stays_flat_over_10_000_calls(library: Any, server: tuple[Path, int]) -> None:
    """A leaked output would be 4 KiB a call, 36 MiB in the 9,000 calls that are watched; an input 6 KiB."""
    rng = np.random.default_rng(0)
    layer = Dense(rng.normal(size=(16, 24)), rng.normal(size=16))
    context = Context(library, write(Chain([layer], 64)))
    rows = rng.normal(size=(1, 64, 1, 24)).astype(np.float32)
    first = context.infer(rows)
    before = (0, 0)
    for i in range(10_000):
        assert np.array_equal(context.infer(rows), first)
        if i == 1000:
            before = _resident("self"), _resident(str(server[1]))
    after = _resident("self"), _resident(str(server[1]))
    context.close()
    assert after[0] - before[0] < 4 << 20
    assert after[1] - before[1] < 4 << 20


def _resident(process: str) -> int:
    lines = Path("/proc", process, "status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmRSS")).split()[1])


def _together(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
