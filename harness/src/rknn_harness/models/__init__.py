"""The models that cases are made of."""
