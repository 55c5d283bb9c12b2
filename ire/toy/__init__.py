"""The two-dimensional problem of the paper, on which the effect of IRE is visible: `ire toy`."""
