"""``python -m rknn_harness``: the same as ``rknn-harness``."""

from rknn_harness.commands.cli import main

if __name__ == "__main__":
    main(prog_name="python -m rknn_harness")
