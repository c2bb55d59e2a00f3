"""The runner on a board, and what it is asked."""
