"""File sizes in human-readable units."""


def megabytes(size: float) -> str:
    """`12.3 MB`, `4.5 GB`."""
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 1000:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} TB"
