"""Old name of `rknn_harness.records.outcomes`."""

import warnings

from rknn_harness.records.outcomes import *  # noqa: F403

warnings.warn("rknn_harness.outcomes is rknn_harness.records.outcomes now.", DeprecationWarning, stacklevel=2)
