"""SSH: commands, files and channels."""
