"""How products are summed."""
