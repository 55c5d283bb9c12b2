"""The report on curves that somebody else has scheduled: what `ire verdict` writes."""
