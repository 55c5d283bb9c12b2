"""The warm worker group that trains one Tune trial after another; the only room that imports Ray Train."""
