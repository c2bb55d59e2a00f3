"""Boards: which there are, and the connection to one."""
