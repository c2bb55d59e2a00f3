"""What models made of others share: their members side by side, and how each ends."""
