"""A comparison of training runs that somebody else has scheduled: their curves as a table, and what it shows."""
