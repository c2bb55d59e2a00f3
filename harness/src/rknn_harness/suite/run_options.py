"""The options of a run, each default once."""

from __future__ import annotations

import json
import secrets
from typing import Any

import attrs


@attrs.frozen
class RunOptions:
    """What a run tries, on what, and where it is kept: the options of ``rknn-harness run``.

    Attributes
    ----------
    family : tuple of str
        Families of which all models of data sets and drawn ones are tried, or ``all`` or ``none``; by default
        one model of each family.
    family_cases : int
        Drawn models of the families that were asked for.
    second_builds : float
        Share of the cases whose files are built a second time; see `rknn_harness.plan.second_builds`.
    keyword : str
        Only tests whose names match, as pytest's ``-k``.
    own : str or None
        Folder of models that are tried too, as `rknn_harness.models.own_model` keeps them.
    only_own : bool
        Whether nothing else is tried.
    wait : float
        Seconds to wait for a board that others have.
    store : str or None
        Folder of conversions that are taken from there, and kept there.
    scheduler : str or None
        Address of the dask.distributed scheduler that does the conversions.
    tls_ca, tls_cert, tls_key : str or None
        Files in PEM for an encrypted connection to it.
    update_expectations : bool
        Whether the lists of known failures are brought up to date at the end.
    """

    board: tuple[str, ...] = ("virtual",)
    boards: str | None = None
    toolkit: tuple[str, ...] = ("2.3.2",)
    precision: tuple[str, ...] = ("float16", "int8")
    max_cases: int = 50
    family: tuple[str, ...] = ()
    family_cases: int = 10
    second_builds: float = 0.25
    seed: int = attrs.field(factory=lambda: secrets.randbelow(2**31))
    guard: str = "on"
    corpus: str = "corpus"
    examples: str = ""
    expectations: str = "expectations"
    baseline: str | None = None
    keyword: str = ""
    own: str | None = None
    only_own: bool = False
    trust_pickle: bool = False
    run_dir: str | None = None
    resume: str | None = None
    wait: float = 5.0
    all_rows: bool = False
    store: str | None = None
    scheduler: str | None = None
    tls_ca: str | None = None
    tls_cert: str | None = None
    tls_key: str | None = None
    update_expectations: bool = False

    def to_json(self) -> str:
        """Return the options as text."""
        return json.dumps(attrs.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> RunOptions:
        """Read what `to_json` wrote."""
        options: dict[str, Any] = json.loads(text)
        return cls(**{name: _tupled(value) for name, value in options.items()})


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
