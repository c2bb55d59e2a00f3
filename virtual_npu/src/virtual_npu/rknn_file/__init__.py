"""Read the `.rknn` container."""
