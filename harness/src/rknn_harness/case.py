"""Old name of `rknn_harness.records.case` and `rknn_harness.records.case_result`."""

import warnings

from rknn_harness.records.case import *  # noqa: F403
from rknn_harness.records.case_result import *  # noqa: F403

warnings.warn("rknn_harness.case is rknn_harness.records.case now.", DeprecationWarning, stacklevel=2)
