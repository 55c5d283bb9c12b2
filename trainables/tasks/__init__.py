"""The workloads that come with the package, one a file; none of them needs a download."""
