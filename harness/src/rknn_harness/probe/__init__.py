"""Questions that documents leave open, put to an NPU: small models whose outputs tell the answers apart.

::

    question -> models -> toolkit -> board -> outputs -> answer -> facts file

`virtual_npu` had to take one answer to each; `agreement` says where a board gives another.
"""

from __future__ import annotations

from rknn_harness.probe.agreement import Disagreement, disagreements, unsettled
from rknn_harness.probe.asking import QUESTIONS, Answered, ask
from rknn_harness.probe.bench import Bench
from rknn_harness.probe.facts_file import document, markdown, read_facts, write_facts
from rknn_harness.probe.question import FAILED, UNDECIDED, Answer, Question

__all__ = [
    "FAILED",
    "QUESTIONS",
    "UNDECIDED",
    "Answer",
    "Answered",
    "Bench",
    "Disagreement",
    "Question",
    "ask",
    "disagreements",
    "document",
    "markdown",
    "read_facts",
    "unsettled",
    "write_facts",
]
