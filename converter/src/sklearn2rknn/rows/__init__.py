"""The rows that a conversion calibrates and checks with."""
