"""Check what fit left in an estimator before it is read."""
