"""Rows on the batch axis, which Gemm of several rows compiles to, against the vendor's simulator."""

from __future__ import annotations

import numpy as np
import pytest

from tests.virtual_npu.reference import halfway_steps
from virtual_npu import UnsupportedProgram, VirtualNpu, read

pytest.importorskip("onnx", reason="onnx is not installed: no graphs to convert")
toolkits = pytest.importorskip(
    "sklearn2rknn.toolkit.toolkit", reason="sklearn2rknn is not installed: no converter"
)

from tests.virtual_npu_agreement.artifacts import Artifact, build  # noqa: E402

WIDE = (300, 120, 33, 10)


@pytest.mark.parametrize("version", ["2.3.2", "2.5.0"])
def test_gemm_of_several_rows_agrees_with_the_simulator(version: str) -> None:
    from sklearn2rknn.errors import ToolkitError

    try:
        toolkit = toolkits.open_toolkit(version)
    except ToolkitError as error:
        pytest.skip(f"rknn-toolkit2 {version} cannot be had on this machine: {error}")
    with toolkit:
        for precision, widths, samples in (
            ("float16", (24, 40, 10), 3),
            ("float16", WIDE, 64),  # 2.5.0 transposes the batch away
            ("int8", (64, 40, 1), 8),
            ("int8", WIDE, 64),
        ):
            artifact = Artifact(version, precision, "gemm", widths, "Relu", "", samples, 1)
            inputs, built = build(toolkit, artifact)
            assert built.simulated is not None
            file = read(built.rknn)
            npu = VirtualNpu(file, arithmetic="simulator")
            found = np.stack([npu.run(x) for x in inputs])
            if precision == "float16":
                assert not halfway_steps(found, built.simulated).any()
            else:
                steps = np.abs(found - built.simulated) / file.outputs[0].scale
                # The program's 15-bit factors: a step now and then.
                assert np.mean(steps < 0.5) >= 0.96
                assert steps.max() < 1.5
            with pytest.raises(UnsupportedProgram, match="time decides"):
                VirtualNpu(file, 2)
