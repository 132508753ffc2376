"""The whole fleet on one machine, as processes."""
