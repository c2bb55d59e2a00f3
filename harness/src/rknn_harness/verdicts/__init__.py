"""Compare answers with the reference, and give verdicts."""
