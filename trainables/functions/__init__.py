"""Training functions of one's own: found by their path, and driven through a handle, the trial."""
