"""Pickle programs, operation by operation."""

from __future__ import annotations

import struct
from typing import Any

__all__ = ["MLP", "SCALER", "Program"]

MLP = "sklearn.neural_network._multilayer_perceptron MLPRegressor"
SCALER = "sklearn.preprocessing._data StandardScaler"


class Program:
    """A pickle under construction; every method appends and returns the program."""

    def __init__(self) -> None:
        self._data = bytearray(b"\x80\x04")

    def op(self, code: bytes) -> Program:
        self._data += code
        return self

    def text(self, value: str) -> Program:
        data = value.encode("utf-8", "surrogatepass")
        return self.op(b"X" + struct.pack("<I", len(data)) + data)

    def blob(self, value: bytes) -> Program:
        return self.op(b"B" + struct.pack("<I", len(value)) + value)

    def number(self, value: int) -> Program:
        data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return self.op(b"\x8a" + bytes([len(data)]) + data)

    def name(self, full: str) -> Program:
        module, _, name = full.partition(" ")
        return self.text(module).text(name).op(b"\x93")

    def put(self, index: int) -> Program:
        return self.op(b"q" + bytes([index]))

    def get(self, index: int) -> Program:
        return self.op(b"h" + bytes([index]))

    def value(self, value: Any) -> Program:
        """Push a plain value: None, bool, int, text, bytes, or a tuple, list or dict of them."""
        if value is None or isinstance(value, bool):
            return self.op({None: b"N", True: b"\x88", False: b"\x89"}[value])
        if isinstance(value, int):
            return self.number(value)
        if isinstance(value, str):
            return self.name(value[1:]) if value.startswith("@") else self.text(value)
        if isinstance(value, bytes):
            return self.blob(value)
        if isinstance(value, dict):
            self.op(b"}(")
            for pair in value.items():
                self.value(pair[0]).value(pair[1])
            return self.op(b"u")
        self.op(b"(")
        for item in value:
            self.value(item)
        return self.op(b"t" if isinstance(value, tuple) else b"l")

    def call(self, full: str, *arguments: Any) -> Program:
        return self.name(full).value(arguments).op(b"R")

    def new(self, full: str) -> Program:
        return self.name(full).op(b")\x81")

    def build(self, state: Any) -> Program:
        return self.value(state).op(b"b")

    def end(self) -> bytes:
        return bytes(self._data) + b"."
