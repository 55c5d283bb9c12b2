"""Image data sets and their augmentation."""
