"""One file for each model family; each is found by itself."""
