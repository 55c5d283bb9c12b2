"""The console that commands and sweeps print on."""

from typing import Any

from rich.console import Console


def plain_console(**options: Any) -> Console:
    """A console that prints settings and errors as they are: their brackets and colons are no markup."""
    return Console(markup=False, emoji=False, **options)
