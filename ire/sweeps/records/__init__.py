"""The truth about a sweep: its records, the place where they live, and who may write there."""
