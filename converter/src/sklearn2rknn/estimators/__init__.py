"""From a model's file or object to a `Network`."""
