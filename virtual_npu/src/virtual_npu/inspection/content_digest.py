"""A model's identity: a digest of the content of its file, not of its bytes.

The toolkit writes uninitialised memory into its files, so two conversions of one model differ in 400 to
1,400 bytes. Observation (six models, float16, int8 and int16, three builds each): those bytes are

- the second vector of each relocation entry, of 64-bit items of which the low byte alone is set;
- the constants ``tempMC*``, mailboxes through which cores wait for each other. They are left out by what
  they are, constants that no layer takes and that no unit but the PPU touches, not by their name.

- what follows the weights in a buffer larger than their native shape (softmax's row of ones: 32 bytes in 64).

Everything else is in the digest.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

from virtual_npu.program.registers import decode_commands
from virtual_npu.rknn_file.model_file import ITEM_BYTES, RknnFile, Tensor


def content_digest(file: RknnFile) -> str:
    """Digest the graph, the tensors, the constants and the program.

    Returns
    -------
    str
        SHA-256, hexadecimal; equal for two conversions of one model with one toolkit.
    """
    mailboxes = _mailboxes(file)
    digest = hashlib.sha256()

    def add(value: Any) -> None:
        raw = value if isinstance(value, bytes) else json.dumps(value, sort_keys=True).encode()
        digest.update(len(raw).to_bytes(8, "little"))
        digest.update(raw)

    add([file.format_version, file.compiler, file.target_platform, file.framework, file.custom_string])
    add(file.generator)
    add(dict(file.metadata))
    add([file.input_indices, file.output_indices, file.internal_memory])
    for tensor in file.tensors:
        fields = [getattr(tensor, name) for name in tensor.__slots__]
        add(fields)
        constant = tensor.buffer and tensor.name not in mailboxes
        add(file.buffers[tensor.buffer][: _native_size(tensor)].tobytes() if constant else b"")
    for node in file.nodes:
        add([getattr(node, name) for name in node.__slots__])
    add([[getattr(task, name) for name in task.__slots__] for task in file.task_table])
    add(sorted([r.tensor, r.addend, r.command] for r in file.relocations))
    return digest.hexdigest()


def _native_size(tensor: Tensor) -> int | None:
    """Return the bytes of a weight's native shape, None for all there are.

    The shape is given in parts of six dimensions, one a share of the weights with a layout of its own.
    """
    shape = tensor.native_shape
    if tensor.layout != "weight" or not shape or len(shape) % 6 or tensor.dtype not in ITEM_BYTES:
        return None
    parts = (math.prod(shape[i : i + 6]) for i in range(0, len(shape), 6))
    return sum(parts) * ITEM_BYTES[tensor.dtype]


def _mailboxes(file: RknnFile) -> set[str]:
    _, addresses, _ = decode_commands(file.registers)
    units = addresses >> 12
    touched = {r.tensor for r in file.relocations if units[r.command] not in (6, 7)}
    operands = {file.tensors[i].name for node in file.nodes for i in node.inputs + node.outputs}
    constants = {tensor.name for tensor in file.tensors if tensor.kind == "constant"}
    return constants - touched - operands
