"""Typer's group of commands, changed to let every exception reach `main`, and every mistake be one line."""

import functools
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup

from ire.invalid_input import InvalidInput
from ire.plain_values import is_list
from ire.sweeps.command.failures import EndOfInput

USAGE_ERROR: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError"
)
"""Of click, or of the copy of click that a newer typer brings."""

URI = re.compile(r"[a-z][a-z0-9+.-]+:/")
"""The start of a URI as a path."""


class Commands(TyperGroup):
    """Typer's group, except that what is mistyped is an `InvalidInput`, and an `EOFError` (from a truncated file, say)
    is not mistaken for Ctrl-D.
    """

    def main(self, *args: Any, standalone_mode: bool = True, **extra: Any) -> Any:
        try:
            code = super().main(*args, standalone_mode=False, **extra)
        except USAGE_ERROR as error:
            context: Any = getattr(error, "ctx", None)
            if type(error).__name__ == "NoArgsIsHelpError":  # which has printed the help
                sys.exit(2)
            command = "ire" if context is None else context.command_path
            raise InvalidInput(_in_one_line(error, command)) from None
        if standalone_mode:
            sys.exit(code if isinstance(code, int) else 0)
        return code

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except EOFError as error:
            raise EndOfInput from error
        except USAGE_ERROR as error:
            if getattr(error, "ctx", None) is not None:
                raise
            # An option without its value names no command.
            command = f"{ctx.command_path} {ctx.invoked_subcommand}"
            raise InvalidInput(_in_one_line(error, command)) from None


def with_local_paths(command: Callable[..., object]) -> Callable[..., None]:
    """The command, which refuses a URI where it takes a path: as a path it would be a folder of that name here."""

    @functools.wraps(command)
    def call(**given: Any) -> None:
        for value in given.values():
            for path in value if is_list(value) else (value,):
                if isinstance(path, Path) and URI.match(str(path)):
                    uri = str(path).replace(":/", "://", 1)  # a path has no double slash
                    raise InvalidInput(f"{uri!r}: must be a path on this machine, not a URI")
        command(**given)

    return call


def _in_one_line(error: Any, command: str) -> str:
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message[:1].lower()}{message[1:]}; `{command} --help` shows what is allowed"
