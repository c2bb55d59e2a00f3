"""What starts the runner on a board: ``PYTHON -c`` and this text, with `main`'s arguments.

It asks for the runner's archive on standard output and reads it from standard input, unless the board has it,
and then runs it: one SSH channel is all that a board must offer. It needs Python's standard library alone.
"""

from __future__ import annotations

import sys

MARK = "rknn-harness runner: "
"""Begins each of its words: ``send``, then ``start``, or ``refused`` and why."""


def main(digest: str, size: int, work_folder: str, lease_folder: str) -> None:
    """Run the archive with this SHA-256 and size."""
    # The user's home is on the path of a program given by -c: no file there may stand for one of Python's.
    sys.path[:] = [place for place in sys.path if place]
    import contextlib
    import hashlib
    import os
    import runpy

    def say(word: str) -> None:
        os.write(1, (MARK + word + "\n").encode("utf-8", "replace"))

    path = os.path.join(work_folder, "artifacts", digest[:2], digest, "runner.pyz")
    stored = b""
    with contextlib.suppress(OSError), open(path, "rb") as file:
        stored = file.read(size + 1)
    if hashlib.sha256(stored).hexdigest() != digest:
        say("send")
        content = b""
        while len(content) < size:
            block = os.read(0, size - len(content))
            if not block:
                sys.exit("the runner did not arrive")
            content += block
        part = path + "." + str(os.getpid()) + ".part"
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(part, "wb") as target:
                target.write(content)
            os.replace(part, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                os.unlink(part)
            say("refused " + str(error))
            sys.exit(1)
    say("start")
    sys.argv[:] = [path, work_folder, lease_folder]
    runpy.run_path(path, run_name="__main__")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4])
