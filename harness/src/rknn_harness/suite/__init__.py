"""The device suite: a run under way, and pytest as its face."""
