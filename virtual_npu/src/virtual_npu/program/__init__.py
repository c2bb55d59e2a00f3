"""Read the register program of a file: registers, tasks, memory."""
