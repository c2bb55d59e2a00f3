"""``python3 -m virtual_npu``."""

import sys

from virtual_npu.inspection.commands import main


def run() -> None:
    """Run the command line and end the process with its status."""
    sys.exit(main())


if __name__ == "__main__":
    run()
