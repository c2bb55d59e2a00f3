"""Print, compare and estimate `.rknn` files; the command line."""
