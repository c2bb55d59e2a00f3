"""18,000 damaged register programs (a tenth in the gate): a result or a typed error, in bounded time."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.counts import counted
from tests.virtual_npu.execute.test_virtual_npu import _float_chain, _tanh_table
from tests.virtual_npu.rknn_writer import Chain, Dense, small, write
from virtual_npu import RknnFile, VirtualNpu, VirtualNpuError, disassemble, estimate, read, rules_followed

Commands = npt.NDArray[np.uint64]

COUNT = counted(3_000)  # of each of six programs
LEAST_SECONDS, TIMES = 0.02, 100
"""What a damaged program may take: the larger of these seconds and of the undamaged one's, so many times."""


def _tanh() -> bytes:
    return write(Chain([Dense(np.eye(8), np.zeros(8), table=_tanh_table(), factor=5424.0)], samples=8))


def _copied() -> bytes:
    chain, _ = _float_chain(3, [20, 40, 9], 7)
    return write(replace(chain, copied=frozenset({0})))


PROGRAMS: dict[str, tuple[Callable[[], bytes], int]] = {
    "float16": (small, 1),
    "float16, three cores": (small, 3),
    "float16, copied": (_copied, 1),
    "int8": (lambda: small("int8"), 2),
    "int16": (lambda: small("int16"), 1),
    "lookup": (_tanh, 2),
}


def _flip(rng: np.random.Generator, commands: Commands) -> Commands:
    """Flip a bit, of the value mostly, of the register or of its unit now and then."""
    at = rng.integers(len(commands))
    first, last = (0, 16) if rng.random() < 0.1 else (48, 64) if rng.random() < 0.1 else (16, 48)
    commands[at] ^= np.uint64(1) << np.uint64(rng.integers(first, last))
    return commands


def _set(rng: np.random.Generator, commands: Commands) -> Commands:
    """Give a register a value of any size, or one at an end of its range."""
    at = rng.integers(len(commands))
    value = [0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, int(rng.integers(1 << rng.integers(1, 33)))]
    commands[at] &= np.uint64(0xFFFF00000000FFFF)
    commands[at] |= np.uint64(value[rng.integers(len(value))]) << np.uint64(16)
    return commands


def _overwrite(rng: np.random.Generator, commands: Commands) -> Commands:
    """Put some commands in place of others."""
    count = int(rng.integers(1, 9))
    source, target = rng.integers(0, len(commands) - count, 2)
    commands[target : target + count] = commands[source : source + count].copy()
    return commands


def _leave_out(rng: np.random.Generator, commands: Commands) -> Commands:
    """Leave out a command, so that those behind it move up, or all from one on."""
    at = int(rng.integers(len(commands)))
    left = np.delete(commands, at) if rng.random() < 0.7 else commands[:at]
    return np.pad(left, (0, len(commands) - len(left)))


DAMAGE = (_flip, _flip, _set, _set, _overwrite, _leave_out)


def _damaged(rng: np.random.Generator, file: RknnFile) -> RknnFile:
    commands = file.registers.copy()
    for _ in range(rng.integers(1, 4)):
        commands = DAMAGE[rng.integers(len(DAMAGE))](rng, commands)
    return replace(file, registers=commands)


def _seconds(file: RknnFile, cores: int) -> float:
    """Return the processor time that everything done with a program takes; only typed errors pass."""
    uses: tuple[Callable[[], Any], ...] = (
        lambda: list(disassemble(file)),
        lambda: rules_followed(file, cores),
        lambda: estimate(file),
        lambda: _run(file, cores),
    )
    started = time.process_time()
    for use in uses:
        with contextlib.suppress(VirtualNpuError):
            use()
    return time.process_time() - started


def _run(file: RknnFile, cores: int) -> None:
    npu = VirtualNpu(file, cores)
    output = npu.run(np.ones(npu.input_shape, np.float32))
    assert output.shape == npu.output_shape


@pytest.mark.filterwarnings("ignore::virtual_npu.OverWideFieldWarning")
@pytest.mark.parametrize("name", PROGRAMS)
def test_damaged_programs_give_a_result_or_a_typed_error_in_bounded_time(name: str) -> None:
    make, cores = PROGRAMS[name]
    file = read(make())
    longest = TIMES * max(LEAST_SECONDS, *(_seconds(file, cores) for _ in range(3)))
    rng = np.random.default_rng(0)
    for _ in range(COUNT):
        assert _seconds(_damaged(rng, file), cores) < longest
