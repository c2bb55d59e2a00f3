"""Conversions on a real scheduler with worker processes on loopback."""
