"""What `ire status` and `ire list` show: how far sweeps have come, and their results in brief."""
