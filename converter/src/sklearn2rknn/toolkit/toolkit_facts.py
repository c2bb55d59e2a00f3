"""What built a bundle's files, and what runs them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class ToolkitFacts:
    """The toolkit that built a bundle's files, and what they need on a board.

    Attributes
    ----------
    version : str
    environment : {"venv", "container"}
    lock_sha256 : str
        Digest of the lock that the environment was made from.
    image : str or None
        The engine's digest of a container's image.
    target_platform : str
    model_format : int
        Number of the format of its files.
    oldest_runtime : str
        Oldest librknnrt that reads that format.
    oldest_driver : str or None
        Oldest driver that newer runtimes do not warn of, where it is known.
    config : mapping
        Arguments of its ``config``.
    form : str
        Operators of the graph.
    """

    version: str
    environment: str
    lock_sha256: str
    image: str | None = None
    target_platform: str
    model_format: int
    oldest_runtime: str
    oldest_driver: str | None = None
    config: Mapping[str, Any]
    form: str = "conv"

    def __getitem__(self, name: str) -> Any:
        """Return an entry of `to_json`, which the facts were in earlier versions."""
        return self.to_json()[name]

    def to_json(self) -> dict[str, Any]:
        """Return what a bundle records."""
        values = attrs.asdict(self, recurse=False)
        values["options"] = values.pop("config")
        if self.image is None:
            del values["image"]
        return values

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> ToolkitFacts:
        """Read what a bundle records."""
        values = {each.name: document[each.name] for each in attrs.fields(cls) if each.name in document}
        return cls(config=document["options"], **values)
