"""What a call of librknnrt.so costs."""
