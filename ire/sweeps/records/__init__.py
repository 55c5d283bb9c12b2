"""The truth about a sweep: its records, where they are stored, and who may write them."""
