"""The protocol without Ray: which trial comes next, and whether it goes on."""
