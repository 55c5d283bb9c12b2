"""The workloads that come with the package: one a file, or a table in `tasks.toml` where it is a few numbers."""
