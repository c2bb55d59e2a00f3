"""Old name of `rknn_harness.records.run_folder`."""

import warnings

from rknn_harness.records.run_folder import *  # noqa: F403

warnings.warn(
    "rknn_harness.run_folder is rknn_harness.records.run_folder now.", DeprecationWarning, stacklevel=2
)
