"""What runs the trials of a protocol: what every way of running shares, and the way within this process."""
