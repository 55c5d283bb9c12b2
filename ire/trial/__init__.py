"""The description of one trial as plain data, which driver and workers share."""
