"""The base optimizers that come with the package: one file each, whose `BASE` is all that is known of it."""
