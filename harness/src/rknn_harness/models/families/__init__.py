"""Families of models beside perceptrons: a module of each, with its ``KINDS`` and ``FIXED`` models."""
