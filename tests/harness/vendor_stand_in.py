"""A stand-in for the vendor's rknnlite on a board: it runs files on the virtual NPU, and fails when told.

Faults strike models of `ROWS` rows alone, so that the small model by which the harness tells a sick board
from a sick file stays well.
"""

from __future__ import annotations

import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROWS = 16

_API = """
import ctypes, os, time
import numpy as np
import virtual_npu

CONTROL, ROWS = {control!r}, {rows!r}


def told(word):
    return os.path.exists(os.path.join(CONTROL, word))


class RKNNLite:
    NPU_CORE_0, NPU_CORE_1, NPU_CORE_2, NPU_CORE_0_1, NPU_CORE_0_1_2 = 1, 2, 4, 3, 7

    def __init__(self, verbose=False):
        self._npu = None

    def load_rknn(self, path):
        self._path = path
        return 0

    def init_runtime(self, core_mask=None):
        if told("old"):
            print("E RKNN: Invalid RKNN model version 6", flush=True)
            return -1
        self._npu = virtual_npu.VirtualNpu(virtual_npu.read(self._path))
        return 0

    def inference(self, inputs):
        if inputs[0].shape[1] == ROWS:
            if told("hang"):
                ctypes.PyDLL(None).pause()
            if told("crash"):
                ctypes.string_at(0)
            if told("meet"):
                os.rename(os.path.join(CONTROL, "meet"), os.path.join(CONTROL, "met"))
                end = time.monotonic() + 20
                while not told("go") and time.monotonic() < end:
                    time.sleep(0.01)
        return [self._npu.run(np.ascontiguousarray(inputs[0].transpose(0, 3, 1, 2)))]

    def release(self):
        self._npu = None
"""


class VendorStandIn:
    """A Python with that rknnlite.

    Parameters
    ----------
    folder : pathlib.Path

    Attributes
    ----------
    python : pathlib.Path
        What a board's entry names as its Python.
    """

    def __init__(self, folder: Path) -> None:
        package = folder / "rknnlite"
        package.mkdir(parents=True)
        (package / "__init__.py").touch()
        self._control = folder / "control"
        self._control.mkdir()
        (package / "api.py").write_text(_API.format(control=str(self._control), rows=ROWS))
        self.python = folder / "python"
        self.python.write_text(f'#!/bin/sh\nPYTHONPATH="{folder}:$PYTHONPATH" exec "{sys.executable}" "$@"\n')
        self.python.chmod(self.python.stat().st_mode | stat.S_IXUSR)

    def tell(self, *words: str) -> None:
        """Say what shall go wrong: ``old``, ``hang``, ``crash``, ``meet``; nothing else does any more."""
        for file in self._control.iterdir():
            file.unlink(missing_ok=True)
        for word in words:
            (self._control / word).touch()

    def meet(self, action: Callable[[], object]) -> None:
        """Wait until a model runs, told to ``meet``; then act, and let it run on."""
        end = time.monotonic() + 60
        while not (self._control / "met").exists():
            if time.monotonic() > end:
                raise TimeoutError("no model was run")
            time.sleep(0.005)
        action()
        (self._control / "go").touch()
