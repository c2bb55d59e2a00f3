"""``python3 -m scirknn``, and the start of a zipapp: ``-m scirknn.__main__:run``."""

import sys

from scirknn.cli.commands import main


def run() -> None:
    """Run the command line and end the process with its status."""
    sys.exit(main())


if __name__ == "__main__":
    run()
