"""Stands in for the vendor's package inside a container of the tests."""
