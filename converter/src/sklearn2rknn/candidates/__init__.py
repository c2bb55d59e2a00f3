"""The precisions that a model can be converted in, side by side."""
