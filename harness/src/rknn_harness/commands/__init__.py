"""The command line, one file for each group of commands.

What a command works with is imported inside it, so that ``--help`` and usage errors answer at once.
"""
