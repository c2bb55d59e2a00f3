"""Loaded models with scikit-learn's interface."""
