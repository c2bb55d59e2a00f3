"""The precisions and forms that a model can be converted in, side by side."""
