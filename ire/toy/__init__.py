"""The two-dimensional problem of the paper, on which IRE can be followed by eye: `ire toy`."""
