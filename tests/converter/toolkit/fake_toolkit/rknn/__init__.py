"""Stands where the vendor's package would."""
