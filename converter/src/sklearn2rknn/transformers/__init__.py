"""What a fitted transformer does to features; importing any of it fills the registry."""

from sklearn2rknn.transformers import families  # noqa: F401
