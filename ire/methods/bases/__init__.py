"""The base optimizers that come with the package: one file each, whose `BASE` describes it completely."""
