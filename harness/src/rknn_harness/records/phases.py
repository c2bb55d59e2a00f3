"""The parts of a case's wall time."""

from __future__ import annotations

import enum

__all__ = ["Phase"]


class Phase(str, enum.Enum):
    """A part of a case's wall time, in the order of a case; a record has each that came about."""

    FIT = "fit"
    STORE = "store"
    WAIT = "wait"
    UNPACK = "unpack"
    CONVERT = "convert"
    LIMITS = "limits"
    STAGES = "stages"
    AGAIN = "again"
    CONNECT = "connect"
    HEALTH = "health"
    LOAD = "load"
    PREDICT = "predict"
    TIME = "time"
    BATCH_LATENCY = "batch_latency"
    PROPERTIES = "properties"
    CORES = "cores"
    JUDGE = "judge"

    @property
    def meaning(self) -> str:
        """One line for people; it names the properties that take this time."""
        return _MEANINGS[self]


_MEANINGS = {
    Phase.FIT: "the model is read or fitted, and scikit-learn answers",
    Phase.STORE: "the conversion is read from the store",
    Phase.WAIT: "waiting for the process that converts",
    Phase.UNPACK: "its conversion is read",
    Phase.CONVERT: "the conversion, with the converter's own check",
    Phase.LIMITS: "the error bounds that the answers are held to",
    Phase.STAGES: "ONNX graph, simulator and virtual NPU answer",
    Phase.AGAIN: "the second build: digest_reproducible, simulator_equals_virtual_npu",
    Phase.CONNECT: "the connection to the board",
    Phase.HEALTH: "a known model shows that the board is well",
    Phase.LOAD: "the files are sent and loaded",
    Phase.PREDICT: "the board answers",
    Phase.TIME: "calls are timed, and the board's CPU",
    Phase.BATCH_LATENCY: "calls of one row are timed: batch_latency",
    Phase.PROPERTIES: "the board answers again: deterministic, rows_independent, input_forms",
    Phase.CORES: "each core answers: cores_agree",
    Phase.JUDGE: "the answers are compared",
}
