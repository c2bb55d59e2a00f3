"""Where the worker's program lies."""

from pathlib import Path

WORKER = Path(__file__).with_name("worker.py")
"""What the toolkit's own Python runs."""
