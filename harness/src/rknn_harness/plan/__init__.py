"""Which cases a run has, and which failures are expected."""
