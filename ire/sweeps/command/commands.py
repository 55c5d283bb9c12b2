"""The group of commands, which lets every exception through to `main`."""

from typing import Any

from typer.core import TyperGroup

from ire.sweeps.command.failures import EndOfInput


class Commands(TyperGroup):
    """As typer's, but that an `EOFError`, as of a file that was cut off, is not taken for Ctrl-D."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise EndOfInput from error
