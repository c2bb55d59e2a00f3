"""Conversions as tasks: packing, store, settings of a scheduler."""
