"""Specifications from which a drawn model is built again."""
