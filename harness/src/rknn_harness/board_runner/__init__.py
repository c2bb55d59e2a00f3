"""The program that the harness sends to a board.

It takes the standard library, numpy and scirknn only, and Python >= 3.8.

A parent process speaks the protocol and keeps the deadlines; a child process holds the model and makes the
native calls, so that a hang or a crash in the vendor's library ends the child alone.
"""
