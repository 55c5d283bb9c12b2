"""Runs the trials of a protocol: the shared part of every run, and the run within this process."""
