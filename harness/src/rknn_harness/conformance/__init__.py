"""Run a case: convert, run at every stage, compare."""
