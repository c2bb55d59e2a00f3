"""What hostile pickles name; importing it or calling anything of it is what must not happen."""

from __future__ import annotations

CALLS: list[object] = []


def function(*arguments: object, **options: object) -> None:
    CALLS.append((arguments, options))


class Class:
    def __init__(self, *arguments: object) -> None:
        CALLS.append(arguments)

    def __setstate__(self, state: object) -> None:
        CALLS.append(state)
