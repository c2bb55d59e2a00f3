"""Find the families of models beside perceptrons, and their kinds."""

from __future__ import annotations

import functools
import importlib
import pkgutil
from collections.abc import Mapping, Sequence

import attrs

from rknn_harness.errors import HarnessError
from rknn_harness.models import families as package
from rknn_harness.models.kind import Kind
from rknn_harness.records.specs.family_spec import FamilySpec


@attrs.frozen
class Family:
    """A family of models.

    Attributes
    ----------
    name : str
    kinds : mapping of str to Kind
        By name.
    fixed : tuple of FamilySpec
        Models of data sets. The first is part of every run, the others of one that asks for the family.
    """

    name: str
    kinds: Mapping[str, Kind]
    fixed: tuple[FamilySpec, ...]


def family_names() -> tuple[str, ...]:
    """Return the name of each family, in their order."""
    return tuple(sorted(each.name for each in pkgutil.iter_modules(package.__path__)))


def chosen_families(words: Sequence[str]) -> tuple[str, ...]:
    """Return the families that an option names: all where it names none, or ``all``; none for ``none``.

    Raises
    ------
    HarnessError
        There is no such family.
    """
    names = family_names()
    unknown = [word for word in words if word not in (*names, "all", "none")]
    if unknown:
        raise HarnessError(f"There is no family {unknown[0]!r}. Families are {', '.join(names)}.")
    return names if not words or "all" in words else tuple(name for name in names if name in words)


@functools.cache
def families() -> Mapping[str, Family]:
    """Return every family by its name, in the order of names."""
    return {name: _family(name) for name in family_names()}


def _family(name: str) -> Family:
    module = importlib.import_module(f"{package.__name__}.{name}")
    fixed = tuple(attrs.evolve(spec, family=name) for spec in module.FIXED)
    return Family(name, {each.name: each for each in module.KINDS}, fixed)


def find_kind(spec: FamilySpec) -> Kind:
    """Return the kind that a spec names.

    Raises
    ------
    HarnessError
        There is none, or it is not drawn with such parameters: the spec is of another version.
    """
    family = families().get(spec.family)
    if family is None or spec.kind not in family.kinds:
        raise HarnessError(f"No family {spec.family!r} has a kind {spec.kind!r} of model. Use its version.")
    kind = family.kinds[spec.kind]
    unknown = [name for name, value in spec.parameters if value not in kind.choices.get(name, ())]
    if unknown and all(spec.parameters != each.parameters for each in family.fixed):
        raise HarnessError(f"{spec.kind} is not drawn with such {unknown[0]!r}. Use the spec's version.")
    return kind
