"""Rewrite a network into one that the NPU computes well, the same function."""
