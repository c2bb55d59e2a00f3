"""The network between a model and its file: layers, ranges of values, ONNX."""
