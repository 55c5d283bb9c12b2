"""Typer's group of commands, changed to let every exception reach `main`."""

from typing import Any

from typer.core import TyperGroup

from ire.sweeps.command.failures import EndOfInput


class Commands(TyperGroup):
    """Typer's group, except that an `EOFError` (from a truncated file, say) is not mistaken for Ctrl-D."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise EndOfInput from error
