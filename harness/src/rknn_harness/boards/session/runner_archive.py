"""The runner as one zip file: scirknn and `rknn_harness.board_runner`."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import rknn_harness.board_runner
import scirknn

_START = "import sys\nfrom rknn_harness.board_runner.__main__ import main\nsys.exit(main())\n"


def runner_archive(runtime: Path | None = None) -> bytes:
    """Build the runner, the same bytes for the same sources.

    Python puts the archive first on its path, so the scirknn in it wins over one installed on the board.

    Parameters
    ----------
    runtime : pathlib.Path, optional
        Folder of the package ``scirknn`` to send. Default: the one installed here.
    """
    runtime = runtime or Path(scirknn.__file__).parent
    runner = Path(rknn_harness.board_runner.__file__).parent
    members = {"__main__.py": _START.encode(), "rknn_harness/__init__.py": b""}
    for package, folder in (("scirknn", runtime), ("rknn_harness/board_runner", runner)):
        for source in folder.rglob("*.py"):
            members[f"{package}/{source.relative_to(folder).as_posix()}"] = source.read_bytes()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in sorted(members):
            member = zipfile.ZipInfo(name)  # dated 1980-01-01
            member.create_system = 3  # Unix, wherever it is built
            member.external_attr = 0o644 << 16
            archive.writestr(member, members[name])
    return buffer.getvalue()
