"""The protocol of a sweep, without Ray: which trial comes next, and whether it continues."""
