"""A run as a page for people: ``report.html`` and ``report.md``, views of ``cases.jsonl``."""

from rknn_harness.report.render import write_report

__all__ = ["write_report"]
