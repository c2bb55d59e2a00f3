"""Sessions straight to librknnrt.so, by the vendor's C API."""
