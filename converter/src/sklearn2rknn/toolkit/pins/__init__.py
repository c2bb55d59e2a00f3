"""Which toolkits there are, pinned: versions, locks, wheels, their place on disk."""
