"""Model files, loaded on the NPU or on the virtual one."""
