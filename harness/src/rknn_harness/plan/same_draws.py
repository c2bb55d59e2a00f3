"""Make hypothesis draw the same examples on every machine.

Hypothesis also draws numbers that it finds in the source of the local modules that a process has imported
(``hypothesis.internal.conjecture.providers``, here as it is since 6.135). Equal seeds then draw other
examples from a checkout than from an installed wheel, and from one pytest worker than from another. No
setting switches it off.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from hypothesis.internal.conjecture import providers


@contextlib.contextmanager
def without_local_constants() -> Iterator[None]:
    """Draw by the seed alone, whatever modules are imported."""
    collect = vars(providers)["_get_local_constants"]
    constants = type(providers.GLOBAL_CONSTANTS)()
    vars(providers)["_get_local_constants"] = lambda: constants
    providers.CONSTANTS_CACHE.cache.clear()
    try:
        yield
    finally:
        vars(providers)["_get_local_constants"] = collect
        providers.CONSTANTS_CACHE.cache.clear()
