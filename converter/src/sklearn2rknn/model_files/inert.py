"""What a model file may become: plain instances of listed classes, inert names and inert records."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Iterator
from typing import Any

import attrs
import sklearn
from sklearn.exceptions import InconsistentVersionWarning

from sklearn2rknn.errors import ModelFileError, UntrustedModelError
from sklearn2rknn.model_files.model_names import DICTS, FUNCTIONS, RECORDS, TYPES, current_name


@attrs.frozen
class NamedStandIn:
    """A class or function that a file names; it is neither imported nor callable."""

    full_name: str

    @property
    def __name__(self) -> str:
        """The last part of the name, as of a function."""
        return self.full_name.rpartition(".")[2]


@attrs.define(eq=False)
class Record:
    """An object of a class that is not made: its name, constructor arguments and state."""

    full_name: str
    arguments: tuple[Any, ...] = ()
    state: Any = None


def refuse_name(full_name: str) -> UntrustedModelError:
    """Return the error for a file that calls or makes what no model needs."""
    return UntrustedModelError(
        full_name,
        f"The file names {full_name}, which no model that can be converted needs; loading it could "
        "run any code. If you made the file yourself and trust it, pass --trust-pickle "
        "(trust_pickle=True); or save the model as .skops, of a search its best_estimator_ alone.",
    )


@attrs.define(eq=False)
class Workshop:
    """Make the objects of one file, and remember which of them still take a state.

    Attributes
    ----------
    classes : frozenset of str
        Full names of the classes of which plain instances are made.
    versions : dict of str to str
        The scikit-learn version that wrote each class.
    """

    classes: frozenset[str]
    versions: dict[str, str] = attrs.field(factory=dict)
    instances: list[Any] = attrs.field(factory=list)
    _names: dict[str, NamedStandIn] = attrs.field(factory=dict)

    def named(self, module: str, name: str) -> Any:
        """Return a plain type or elementwise function that is listed, and a stand-in for any other name."""
        full = current_name(module, name)
        if full in TYPES:
            return TYPES[full]
        if full in FUNCTIONS:
            return FUNCTIONS[full]
        return self._names.setdefault(full, NamedStandIn(full))

    def instance(self, named: Any) -> Any:
        """Return a new object of a listed class without attributes, or a record.

        Raises
        ------
        UntrustedModelError
            The class is not listed.
        """
        if type(named) is not NamedStandIn:
            raise refuse_name(_describe(named))
        full = named.full_name
        if full in RECORDS:
            return Record(full)
        if full in DICTS:
            return {}
        if full not in self.classes:
            raise refuse_name(full)
        module, _, name = full.rpartition(".")
        try:
            kind = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            return Record(full)  # of a scikit-learn that still had it
        made = object.__new__(kind)
        self.instances.append(made)
        return made

    def set_attributes(self, target: Any, state: Any) -> None:
        """Give an object that `instance` has made its attributes.

        Raises
        ------
        ModelFileError
            The state is no plain dict, or one of its names is not an attribute that fit sets.
        """
        kind = type(target)
        if type(state) is not dict:
            raise ModelFileError(
                f"The file gives {kind.__name__} a state that is no dict ({type(state).__name__}). Save the "
                "model again."
            )
        for key in state:
            is_name = type(key) is str and key.isidentifier() and not key.startswith("__")
            if not is_name or (hasattr(kind, key) and not _is_parameter(kind, key)):
                raise UntrustedModelError(
                    f"{kind.__module__}.{kind.__name__}",
                    f"The file sets {_describe(key)} of {kind.__name__}, which fit never sets. Save the "
                    "model again; do not use a file of unknown origin.",
                )
        attributes = dict(state)
        version = attributes.pop("_sklearn_version", None)
        if type(version) is str:
            self.versions[kind.__name__] = version[:20]
        target.__dict__.update(attributes)

    def warn_of_versions(self) -> None:
        """Warn once of each class that another scikit-learn wrote, as scikit-learn's own loading does."""
        for name, version in self.versions.items():
            if version != sklearn.__version__:
                warnings.warn(
                    InconsistentVersionWarning(
                        estimator_name=name,
                        current_sklearn_version=sklearn.__version__,
                        original_sklearn_version=version,
                    ),
                    stacklevel=4,
                )


def _is_parameter(kind: type, key: str) -> bool:
    """Whether a class's attribute is the default of a constructor's parameter, such as LassoLars.positive."""
    is_value = type(inspect.getattr_static(kind, key)) in (bool, int, float)
    return is_value and key in inspect.signature(kind).parameters


def _describe(value: Any) -> str:
    if type(value) is str:
        return repr(value[:60])
    if type(value) is NamedStandIn:
        return value.full_name
    return next(_names_of(value))


def _names_of(value: Any) -> Iterator[str]:
    for table in (TYPES, FUNCTIONS):
        yield from (name for name, each in table.items() if each is value)
    yield f"an object of {type(value).__module__}.{type(value).__name__}"
