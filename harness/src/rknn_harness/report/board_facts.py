"""What a board answered the probe, kept in a run's folder to be shown beside its results."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from rknn_harness.errors import RunFolderError
from rknn_harness.records.reading import READ_ERRORS, read_document
from rknn_harness.records.run_folder import read_run
from rknn_harness.records.run_lock import refuse_link, write_json

_FOLDER = "facts"


@attrs.frozen
class BoardAnswer:
    """A question, what the board answered, and what the virtual NPU takes for the answer.

    Attributes
    ----------
    name, question, answer : str
        The question's name, and sentences.
    expected : str
        The virtual NPU's answer where the board's is another; empty where they agree or nothing is settled.
    published : str
        Who published the virtual NPU's answer of other boards; another one is news.
    """

    name: str
    question: str
    answer: str
    expected: str
    published: str


@attrs.frozen
class BoardFacts:
    """A board's answers.

    Attributes
    ----------
    board : str
    started : str
        When it was asked, UTC.
    virtual : bool
        Whether it was an emulator that answered.
    answers : tuple of BoardAnswer
    """

    board: str
    started: str
    virtual: bool
    answers: tuple[BoardAnswer, ...]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> BoardFacts:
        """Read what `keep_facts` wrote.

        Raises
        ------
        KeyError, TypeError
            It is not such a document.
        """
        answers = tuple(BoardAnswer(**each) for each in document["answers"])
        texts = [
            document["board"],
            document["started"],
            *(t for each in answers for t in attrs.astuple(each)),
        ]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("a text is none")
        return cls(document["board"], document["started"], document["virtual"] is True, answers)


def keep_facts(run: Path, facts: BoardFacts) -> None:
    """Keep a board's answers in a run's folder, in place of earlier ones.

    Raises
    ------
    RunFolderError
        The run has no such board, or its folder of facts is a link.
    """
    boards = read_run(run).manifest["boards"]
    if facts.board not in boards:
        names = ", ".join(boards)
        raise RunFolderError(f"The facts are of {facts.board!r:.60}; this run was on {names}.")
    folder = run / _FOLDER
    refuse_link(folder)
    folder.mkdir(exist_ok=True)
    number = list(boards).index(facts.board)
    write_json(folder / f"{number}.json", attrs.asdict(facts))


def kept_facts(run: Path) -> tuple[BoardFacts, ...]:
    """Return the answers that are kept in a run's folder.

    Raises
    ------
    RunFolderError
        A file is damaged.
    """
    paths = sorted((run / _FOLDER).glob("*.json"))
    try:
        return tuple(BoardFacts.from_json(read_document(path)) for path in paths)
    except (OSError, *READ_ERRORS) as error:
        raise RunFolderError(f"{run / _FOLDER} holds facts that cannot be read: {error}.") from None
