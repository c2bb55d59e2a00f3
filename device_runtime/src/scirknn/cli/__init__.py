"""The command line and the tables that it reads and writes."""
