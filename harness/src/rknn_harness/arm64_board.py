"""Old name of `rknn_harness.boards.providers.arm64`."""

import warnings

from rknn_harness.boards.providers.arm64 import *  # noqa: F403
from rknn_harness.boards.providers.arm64 import main

warnings.warn(
    "rknn_harness.arm64_board is rknn_harness.boards.providers.arm64 now.", DeprecationWarning, stacklevel=2
)

if __name__ == "__main__":
    main()
