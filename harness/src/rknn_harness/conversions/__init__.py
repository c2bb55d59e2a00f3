"""Conversions as tasks that any process can do: what they depend on, a store, a scheduler."""
