"""The parts of a case's wall time."""

from __future__ import annotations

from rknn_harness.records.outcomes import WithMeaning


class Phase(WithMeaning):
    """A part of a case's wall time, in the order of a case; a record has each that came about.

    The meaning names the properties that take this time.
    """

    FIT = "fit", "the model is read or fitted, and scikit-learn answers"
    STORE = "store", "the conversion is read from the store"
    WAIT = "wait", "waiting for the process that converts"
    UNPACK = "unpack", "its conversion is read"
    CONVERT = "convert", "the conversion, with the converter's own check"
    LIMITS = "limits", "the error bounds that the answers are held to"
    STAGES = "stages", "ONNX graph, simulator and virtual NPU answer: simulator_equals_virtual_npu"
    AGAIN = "again", "the second build: digest_reproducible"
    CONNECT = "connect", "the connection to the board"
    HEALTH = "health", "a known model shows that the board is well"
    LOAD = "load", "the files are sent and loaded"
    PREDICT = "predict", "the board answers"
    TIME = "time", "calls are timed, and the board's CPU"
    BATCH_LATENCY = "batch_latency", "calls of one row are timed: batch_latency"
    PROPERTIES = "properties", "the board answers again: deterministic, rows_independent, input_forms"
    CORES = "cores", "each core answers: cores_agree"
    JUDGE = "judge", "the answers are compared"
