"""How each rule of the executor's arithmetic is known: measured on silicon, from the simulator, or assumed.

The rules stand in ``evidence.ini``. ``docs/virtual-npu.md`` has them as a table; a test compares the two.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from configparser import ConfigParser, ExtendedInterpolation, SectionProxy
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final, TypeVar

_Marked = TypeVar("_Marked", bound=Callable[..., Any])


class Kind(Enum):
    """Where a rule is from."""

    SILICON = "silicon"
    SIMULATOR = "simulator"
    ASSUMED = "assumed"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is behind a rule.

    Attributes
    ----------
    kind : Kind
    source : str
        Of silicon: who measured, and where it is written. Of the simulator: what was compared. Of what is
        assumed: why so and not otherwise.
    date : str
        Of silicon, when.
    extent : str
        Of silicon, how many elements and on which chips.
    """

    kind: Kind
    source: str
    date: str = ""
    extent: str = ""

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.source, self.date, self.extent)))


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule that the executor follows, or allows for.

    Attributes
    ----------
    unit : str
        Unit of the NPU.
    text : str
        The rule, as a sentence.
    changes : str
        What depends on it.
    evidence : Evidence
    question : str
        Name of the question of ``rknn-harness probe`` that settles it on a board; empty where none does.
    """

    name: str
    unit: str
    text: str
    changes: str
    evidence: Evidence
    question: str = ""


_KINDS: Final = {
    Kind.SILICON: "measured on silicon",
    Kind.SIMULATOR: "as the vendor's simulator has them",
    Kind.ASSUMED: "assumed",
}


def follows(*rules: Rule) -> Callable[[_Marked], _Marked]:
    """Mark a function or class of the executor with the rules that it computes."""

    def mark(marked: _Marked) -> _Marked:
        marked.rules = rules  # type: ignore[attr-defined]
        return marked

    return mark


def count_by_kind(rules: Iterable[Rule]) -> dict[Kind, int]:
    """Return how many rules there are of each kind."""
    counts = Counter(rule.evidence.kind for rule in rules)
    return {kind: counts[kind] for kind in Kind}


def sentence(rules: Iterable[Rule]) -> str:
    """Return how many rules there are of each kind, in words."""
    counts = count_by_kind(rules)
    parts = ", ".join(f"{counts[kind]} {text}" for kind, text in _KINDS.items())
    return f"{sum(counts.values())} rules of arithmetic: {parts}"


def table() -> str:
    """Return all rules as a Markdown table."""
    lines = ["| unit | rule | changes | evidence | question of the probe |", "|---|---|---|---|---|"]
    for rule in RULES:
        question = f"`{rule.question}`" if rule.question else ""
        evidence = f"[{rule.evidence.kind.value}] {rule.evidence}"
        lines.append(f"| {rule.unit} | {rule.text} | {rule.changes} | {evidence} | {question} |")
    return "\n".join(lines) + "\n"


def _read(entry: SectionProxy) -> Rule:
    known = Evidence(
        Kind(_words(entry, "kind")), *(_words(entry, key) for key in ("source", "date", "extent"))
    )
    unit, text, changes = (_words(entry, key) for key in ("unit", "text", "changes"))
    return Rule(entry.name, unit, text, changes, known, _words(entry, "question"))


def _words(entry: SectionProxy, key: str) -> str:
    return " ".join(entry.get(key, "").split())


_FILE: Final = ConfigParser(interpolation=ExtendedInterpolation())
_FILE.read_string(Path(__file__).with_suffix(".ini").read_text("utf-8"))
_BY_NAME: Final = {name: _read(_FILE[name]) for name in _FILE.sections()}

RULES: Final = tuple(_BY_NAME.values())
"""Every rule, unit by unit in the order in which values pass through them."""

FLOAT16_SUMS: Final = _BY_NAME["float16_sums"]
LANE_ZERO: Final = _BY_NAME["lane_zero"]
INTEGER_SUMS: Final = _BY_NAME["integer_sums"]
SHORTENED_SUMS: Final = _BY_NAME["shortened_sums"]
SPREAD_POINT: Final = _BY_NAME["spread_point"]
FLOAT_ADDENDS: Final = _BY_NAME["float_addends"]
FLOAT_FACTORS: Final = _BY_NAME["float_factors"]
CHANNEL_SCALING: Final = _BY_NAME["channel_scaling"]
NEGATIVE_FACTORS: Final = _BY_NAME["negative_factors"]
KERNEL_OFFSETS: Final = _BY_NAME["kernel_offsets"]
INTEGER_NORM: Final = _BY_NAME["integer_norm"]
RELU: Final = _BY_NAME["relu"]
ELEMENTWISE: Final = _BY_NAME["elementwise"]
FUSED_ADDITION: Final = _BY_NAME["fused_addition"]
LARGER_OF_TWO: Final = _BY_NAME["larger_of_two"]
DIVISION: Final = _BY_NAME["division"]
INTEGER_ELEMENTWISE: Final = _BY_NAME["integer_elementwise"]
LOOKUP_LINES: Final = _BY_NAME["lookup_lines"]
LOOKUP_ENDS: Final = _BY_NAME["lookup_ends"]
LOOKUP_SLOPES: Final = _BY_NAME["lookup_slopes"]
LOOKUP_INDEX: Final = _BY_NAME["lookup_index"]
LOOKUP_SIDE: Final = _BY_NAME["lookup_side"]
LOOKUP_OFFSET: Final = _BY_NAME["lookup_offset"]
LOOKUP_ZERO: Final = _BY_NAME["lookup_zero"]
SOFTMAX_OFFSET: Final = _BY_NAME["softmax_offset"]
INTEGER_LOOKUP: Final = _BY_NAME["integer_lookup"]
LARGER_OF_CONSTANT: Final = _BY_NAME["larger_of_constant"]
LARGEST_CHANNEL: Final = _BY_NAME["largest_channel"]
OUTPUT_CONVERSION: Final = _BY_NAME["output_conversion"]
FLOAT_OUTPUT: Final = _BY_NAME["float_output"]
OVERFLOW: Final = _BY_NAME["overflow"]
BFLOAT16_OUTPUT: Final = _BY_NAME["bfloat16_output"]
UNCONVERTED: Final = _BY_NAME["unconverted"]
SHARED_SURFACES: Final = _BY_NAME["shared_surfaces"]
POOLING_FACTORS: Final = _BY_NAME["pooling_factors"]
CORES_WAIT: Final = _BY_NAME["cores_wait"]
INPUT_HEIGHT: Final = _BY_NAME["input_height"]
