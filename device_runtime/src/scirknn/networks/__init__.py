"""A model's network, computed: on the NPU or in numpy."""
