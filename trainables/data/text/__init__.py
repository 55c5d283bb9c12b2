"""Text data sets, stored as token numbers."""
