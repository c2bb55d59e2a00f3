"""``python -m virtual_npu``."""

import sys

from virtual_npu.inspection.commands import main

sys.exit(main())
