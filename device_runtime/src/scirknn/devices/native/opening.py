"""Open a bundle's files by librknnrt.so itself, with bound memory where that is right."""

from __future__ import annotations

import warnings
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Sequence

import numpy as np

from scirknn.bundle.contents import Bundle
from scirknn.devices.core_pool import Context
from scirknn.devices.native.context import NativeContext
from scirknn.devices.native.library import Library
from scirknn.devices.native.sessions import BoundSession, FloatSession, GeneralSession, NativeSession
from scirknn.devices.native.verification import (
    difference_from_general,
    distance_from_record,
    fastest,
    layout_difference,
    probe_runs,
)


@dataclass(frozen=True)
class Refusal:
    """Why a bundle is not opened with bound memory."""

    text: str


def open_general(bundle: Bundle, cores: Sequence[str], library: Library) -> list[Context]:
    """Open a bundle by general calls, a context for each of `cores`.

    Raises
    ------
    NativeError
        What had been opened is closed.
    """
    opened: list[Context] = [{} for _ in cores]
    with ExitStack() as closing:
        for variant, file in bundle.files():
            first = _load(library, file, cores[0], closing)
            contexts = [first, *(_duplicate(first, core, closing) for core in cores[1:])]
            for sessions, context in zip(opened, contexts):
                sessions[variant.samples] = GeneralSession(context, variant.samples, bundle.form)
        closing.pop_all()
    return opened


def open_bound(
    bundle: Bundle, cores: Sequence[str], library: Library, *, unverified: bool = False
) -> list[Context] | Refusal:
    """Open a bundle with bound memory, a context for each of `cores`.

    On the first core the rows that the bundle holds are run by general calls too, whose bits must be the
    same, within the error bound of the answers recorded. For each file the faster conversion is taken, by
    numpy or by the library: their answers are equal. `unverified` takes a bundle that holds no rows too.

    Returns
    -------
    list of Context, or Refusal
        Why general calls are to be made instead.

    Raises
    ------
    NativeError
        What had been opened is closed.
    """
    refusal = _refusal(bundle, library, unverified)
    if refusal is not None:
        return refusal
    opened: list[Context] = [{} for _ in cores]
    with ExitStack() as closing:
        for variant, file in bundle.files():
            context = _load(library, file, cores[0], closing)
            first = _choose(context, bundle, variant.samples, cores[0])
            if isinstance(first, Refusal):
                return first
            closing.callback(first.close)
            opened[0][variant.samples] = first
            for sessions, core in zip(opened[1:], cores[1:]):
                duplicate = _duplicate(first.context, core, closing)
                sessions[variant.samples] = type(first)(duplicate, variant.samples)
            context.close()
        closing.pop_all()
    return opened


def _refusal(bundle: Bundle, library: Library, unverified: bool) -> Refusal | None:
    """Return what can be said before anything is opened."""
    if library.missing:
        return Refusal(f"{library.path} has no {library.missing[0]}")
    if bundle.form != "conv":
        return Refusal(f"{bundle.path.name} is no chain of convolutions")
    if bundle.probe is None and not unverified:
        text = f"{bundle.path.name} holds no probe_rows to verify it by; convert the model again"
        return Refusal(text)
    return None


def _choose(context: NativeContext, bundle: Bundle, rows: int, core: str) -> BoundSession | Refusal:
    """Return the faster session with bound memory that has the bits of general calls in `context`."""
    difference = layout_difference(context, bundle, rows)
    if difference:
        return Refusal(difference)
    general, probe = GeneralSession(context, rows), bundle.probe
    runs = [] if probe is None else list(probe_runs(probe, rows, bundle.channels))
    answers = [general.run(run) for run in runs]
    distance = distance_from_record(answers, bundle)
    if distance:
        text = f"On the rows that {bundle.path.name} holds, the NPU's {distance}"
        warnings.warn(f"{text}: update librknnrt.so and the driver, or convert again.", stacklevel=8)
        return Refusal(text)
    with ExitStack() as closing:
        candidates: list[BoundSession] = [
            kind(_duplicate(context, core, closing), rows) for kind in (NativeSession, FloatSession)
        ]
        differences = [difference_from_general(answers, each, runs) for each in candidates]
        equal = [each for each, difference in zip(candidates, differences) if not difference]
        if not equal:
            return Refusal(f"{differences[0]} of {bundle.path.name}, run with bound memory")
        chosen = fastest(equal, runs[0] if runs else np.zeros((rows, bundle.channels), np.float32))
        closing.pop_all()
    for each in candidates:
        if each is not chosen:
            each.close()
    return chosen


def _load(library: Library, path: Path, core: str, closing: ExitStack) -> NativeContext:
    context = NativeContext.load(library, path)
    closing.callback(context.close)
    context.set_cores(core)
    return context


def _duplicate(context: NativeContext, core: str, closing: ExitStack) -> NativeContext:
    duplicate = context.duplicate()
    closing.callback(duplicate.close)
    duplicate.set_cores(core)
    return duplicate
