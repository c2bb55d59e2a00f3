"""Old name of `rknn_harness.report.comparison`."""

import warnings

from rknn_harness.report.comparison import *  # noqa: F403

warnings.warn(
    "rknn_harness.comparison is rknn_harness.report.comparison now.", DeprecationWarning, stacklevel=2
)
