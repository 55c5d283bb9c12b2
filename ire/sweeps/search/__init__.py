"""The protocol of a sweep, without Ray: which trial runs next, and whether it continues."""
