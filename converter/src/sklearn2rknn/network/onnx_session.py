"""onnxruntime on this machine's processor, without its telemetry."""

from __future__ import annotations

import os

# From 1.29 on it reports to its vendor and keeps an id of the device in the user's cache, unless this is set
# before it starts: github.com/microsoft/onnxruntime pull request 27379.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime


def onnx_session(model: bytes) -> onnxruntime.InferenceSession:
    """Open a float32 graph in one thread.

    Parameters
    ----------
    model : bytes
        A serialized ONNX model.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
