"""What the steps of a pipeline compute; each module of readers is found by itself."""
