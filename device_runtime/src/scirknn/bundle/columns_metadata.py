"""A bundle's columns in its metadata: `Columns` to JSON and back, strictly."""

from __future__ import annotations

import math
from typing import Any, Callable, NoReturn

from scirknn.bundle.columns import UNKNOWN, Category, Coded, Columns, Input, Lookup, Missing, Number


def to_json(columns: Columns) -> dict[str, Any]:
    """Return the columns as JSON takes them, with null for NaN."""

    def number(value: float) -> float | None:
        return None if math.isnan(value) else value

    inputs: list[dict[str, Any]] = []
    for item in columns.inputs:
        if isinstance(item, Category):
            inputs.append({"lookup": item.lookup, "is": item.code})
        elif isinstance(item, Coded):
            inputs.append({"lookup": item.lookup, "values": [number(value) for value in item.values]})
        elif isinstance(item, Missing):
            inputs.append({"from": item.source, "is_missing": number(item.missing)})
        elif item.missing is not None:
            inputs.append({"from": item.source, "missing": number(item.missing), "fill": item.fill})
        else:
            inputs.append({"from": item.source})
    return {
        **({"passes_missing": True} if columns.passes_missing else {}),
        "by_name": columns.by_name,
        "checked": list(columns.checked),
        "inputs": inputs,
        "lookups": [
            {
                "from": lookup.source,
                "keys": list(lookup.keys),
                "codes": list(lookup.codes),
                "nan": lookup.nan,
                "size": lookup.size,
                "unknown": lookup.unknown,
                "column": lookup.column,
            }
            for lookup in columns.lookups
        ],
    }


def from_json(value: Any, n_features_in: int, fail: Callable[[str], NoReturn]) -> Columns:
    """Read what `to_json` wrote, from any JSON; `fail` raises what is wrong."""
    return _Parser(n_features_in, fail).columns(value)


class _Parser:
    """Takes columns out of JSON, strictly."""

    def __init__(self, n_features_in: int, fail: Callable[[str], NoReturn]) -> None:
        self.n_features_in, self._fail = n_features_in, fail
        self.sizes: list[int] = []

    def fail(self, why: str) -> NoReturn:
        self._fail(f"'columns' {why}")

    def columns(self, value: Any) -> Columns:
        optional = {"passes_missing"} & set(value if isinstance(value, dict) else ())
        value = self.entry(value, "entry", {"by_name", "checked", "inputs", "lookups"} | optional)
        for key in ("by_name", "passes_missing"):
            if not isinstance(value.get(key, True), bool):
                self.fail(f"has a {key} that is neither true nor false")
        lookups = tuple(self.lookup(item) for item in self.list(value["lookups"]))
        self.sizes = [item.size for item in lookups]
        inputs = tuple(self.input(item) for item in self.list(value["inputs"]))
        if not inputs:
            self.fail("has no inputs")
        checked = tuple(self.index(item, self.n_features_in) for item in self.list(value["checked"]))
        passes_missing = value.get("passes_missing", False)
        return Columns(self.n_features_in, inputs, lookups, checked, value["by_name"], passes_missing)

    def input(self, value: Any) -> Input:
        if not isinstance(value, dict):
            self.fail("has an input of another form")
        keys = set(value)
        if keys == {"from"}:
            return Number(self.source(value))
        if keys == {"from", "missing", "fill"}:
            return Number(self.source(value), self.number(value["missing"]), self.finite(value["fill"]))
        if keys == {"from", "is_missing"}:
            return Missing(self.source(value), self.number(value["is_missing"]))
        if keys == {"lookup", "is"}:
            lookup = self.index(value["lookup"], len(self.sizes))
            return Category(lookup, self.index(value["is"], self.sizes[lookup]))
        if keys == {"lookup", "values"}:
            lookup = self.index(value["lookup"], len(self.sizes))
            values = tuple(self.number(item) for item in self.list(value["values"]))
            if len(values) != self.sizes[lookup] + 1:
                self.fail(f"has {len(values)} values for a lookup of {self.sizes[lookup]} codes")
            return Coded(lookup, values)
        return self.fail("has an input of another form")

    def lookup(self, value: Any) -> Lookup:
        value = self.entry(value, "lookup", {"from", "keys", "codes", "nan", "size", "unknown", "column"})
        size = self.index(value["size"], 1 << 31)
        keys = self.list(value["keys"])
        if not all(key is None or isinstance(key, (str, int, float)) for key in keys):
            self.fail("has a lookup with a key that is no text or number")
        if any(isinstance(key, float) and not math.isfinite(key) for key in keys):
            self.fail("has a lookup with a key that is not finite")
        if len(set(keys)) != len(keys):
            self.fail("has a lookup with a key twice")
        codes = tuple(self.index(item, size) for item in self.list(value["codes"]))
        if len(codes) != len(keys):
            self.fail(f"has a lookup of {len(keys)} keys and {len(codes)} codes")
        if value["unknown"] not in UNKNOWN:
            self.fail(f"has a lookup whose unknown is {value['unknown']!r:.60}, not {', '.join(UNKNOWN)}")
        return Lookup(
            source=self.source(value),
            keys=tuple(keys),
            codes=codes,
            nan=None if value["nan"] is None else self.index(value["nan"], size),
            size=size,
            unknown=value["unknown"],
            column=self.index(value["column"], 1 << 31),
        )

    def source(self, value: dict[str, Any]) -> int:
        return self.index(value["from"], self.n_features_in)

    def entry(self, value: Any, what: str, keys: set[str]) -> dict[str, Any]:
        if not isinstance(value, dict) or set(value) != keys:
            self.fail(f"has no {what} with {', '.join(sorted(keys))} and nothing else")
        return value

    def list(self, value: Any) -> list[Any]:
        if not isinstance(value, list):
            self.fail("has no list where one belongs")
        return value

    def index(self, value: Any, end: int) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < end:
            self.fail(f"names {value!r:.60}, where there are {end}")
        return value

    def number(self, value: Any) -> float:
        return math.nan if value is None else self.finite(value)

    def finite(self, value: Any) -> float:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            try:
                if math.isfinite(value):
                    return float(value)
            except OverflowError:
                pass
        return self.fail(f"has {value!r:.60} where a number belongs")
