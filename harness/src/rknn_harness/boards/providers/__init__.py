"""Where boards come from: an address, a process of this machine, a coordinator of many."""
