"""Every view of a run, made from its record."""

from __future__ import annotations

from pathlib import Path

from rknn_harness.records.reading import refuse_unshowable
from rknn_harness.records.run_folder import read_run
from rknn_harness.report.junit import write_junit
from rknn_harness.report.render import write_report


def write_views(path: Path) -> Path:
    """Write the views of a run, ``junit.xml`` and the report, and return the report's page."""
    run = read_run(path)
    with refuse_unshowable(path):
        write_junit(run)
        return write_report(run)
