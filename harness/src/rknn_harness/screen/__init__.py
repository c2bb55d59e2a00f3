"""What a run prints: its header, a live line, the table, the verdict with its causes, the next step."""
