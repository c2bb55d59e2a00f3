"""Execute a register program in numpy."""
