"""Computations of the host around the network; one file a family of them."""
