"""What a rule of arithmetic is, how it is known, and the mark of what computes it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import Enum
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
