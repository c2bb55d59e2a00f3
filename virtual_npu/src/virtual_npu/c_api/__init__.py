"""Answer the calls of librknnrt's C interface."""
