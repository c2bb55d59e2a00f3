"""The check of a built file: error bounds, and comparisons with scikit-learn."""
