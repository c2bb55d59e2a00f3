"""Old name of `rknn_harness.report.trend`."""

import warnings

from rknn_harness.report.trend import *  # noqa: F403

warnings.warn("rknn_harness.trend is rknn_harness.report.trend now.", DeprecationWarning, stacklevel=2)
