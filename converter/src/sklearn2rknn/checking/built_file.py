"""A file that the toolkit built, and what is known of it without running it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs

import virtual_npu
from sklearn2rknn.checking.check_result import CheckResult
from sklearn2rknn.errors import ConversionError, CpuFallbackError
from virtual_npu import RknnFile
from virtual_npu.evidence import sentence


@attrs.frozen(eq=False, kw_only=True)
class BuiltFile:
    """A model file and what is known of it.

    Attributes
    ----------
    rknn : bytes
    content : RknnFile or str
        The file parsed, or why it cannot be parsed.
    placement : mapping
        Where its layers run.
    content_digest, evidence : str
        The content's digest, and how its arithmetic on the virtual NPU is known; empty where it has none.
    full_cubes : tuple of str
        Layers that fill a field of the DPU's cube.
    ranges : sequence of mapping
        Those of the network's tensors, with the first batch size; they are the same for all.
    check : CheckResult
    """

    rknn: bytes
    content: RknnFile | str
    placement: Mapping[str, Any]
    content_digest: str = ""
    evidence: str = ""
    full_cubes: tuple[str, ...] = ()
    ranges: Sequence[Mapping[str, Any]] = ()
    check: CheckResult = attrs.Factory(CheckResult)


def parse_file(rknn: bytes) -> RknnFile | str:
    """Return the parsed file, or why it cannot be parsed."""
    try:
        return virtual_npu.read(rknn)
    except (virtual_npu.FileFormatError, virtual_npu.UnsupportedFormat) as error:
        return str(error)


def inspect_file(rknn: bytes, content: RknnFile | str, *, form: str, allow_cpu: bool) -> BuiltFile:
    """Return what is known of a file, `content` of which is from `parse_file`.

    Raises
    ------
    ConversionError
        Its program has values that are too large for their registers.
    CpuFallbackError
        A layer is on the CPU, and `allow_cpu` is False.
    """
    _refuse_over_wide(content)
    placement = _placement(content)
    if not allow_cpu:
        _refuse_cpu_layers(placement["layers"], form)
    if isinstance(content, str):
        return BuiltFile(rknn=rknn, content=content, placement=placement)
    return BuiltFile(
        rknn=rknn,
        content=content,
        placement=placement,
        content_digest=virtual_npu.content_digest(content),
        evidence=_evidence(content),
        full_cubes=tuple(virtual_npu.layers_with_full_cubes(content)),
    )


def _refuse_over_wide(content: RknnFile | str) -> None:
    if not isinstance(content, str) and (fields := virtual_npu.over_wide_fields(content)):
        advice = "Take a smaller batch size or narrower layers."
        raise ConversionError("build", f"{fields[0]}.", advice=advice)


def _placement(content: RknnFile | str) -> dict[str, Any]:
    if isinstance(content, str):
        return {"npu": 0, "cpu": 0, "layers": [], "unknown": content}
    layers = [list(layer) for layer in virtual_npu.placement(content)]
    on_npu = sum(where == "NPU" for _, _, where in layers)
    return {"npu": on_npu, "cpu": len(layers) - on_npu, "layers": layers}


def _refuse_cpu_layers(layers: Sequence[Sequence[str]], form: str) -> None:
    # MatMul and Gemm bring these, which compute nothing.
    tolerated = () if form == "conv" else ("Reshape", "Transpose")
    names = [f"{name} ({kind})" for name, kind, where in layers if where != "NPU" and kind not in tolerated]
    if names:
        raise CpuFallbackError(
            "build",
            f"these layers were placed on the CPU: {', '.join(names)}.",
            advice="Pass ConversionOptions(allow_cpu=True) to accept it.",
        )


def _evidence(content: RknnFile) -> str:
    try:
        return sentence(virtual_npu.rules_followed(content))
    except virtual_npu.UnsupportedProgram:
        return ""
