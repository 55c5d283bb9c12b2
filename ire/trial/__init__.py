"""What one trial is, as plain data that driver and workers both speak."""
