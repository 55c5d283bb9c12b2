"""The records of a sweep, from which everything else follows: their format, their place, and their lock."""
