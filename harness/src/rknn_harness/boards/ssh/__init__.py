"""SSH: connections, whom they trust, and why there is none."""
