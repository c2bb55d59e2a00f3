"""Read model files without running code of theirs."""
