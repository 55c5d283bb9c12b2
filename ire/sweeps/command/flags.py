"""Makes the flags of a command from the table of options, and converts typed text to the values of the call."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer
from rich.markup import escape

from ire.invalid_input import InvalidInput
from ire.sweeps.plan.option import KINDS, Option


def with_flags(
    options: Mapping[str, Option], defaults: Mapping[str, Any] | None = None, *, resume: bool = False
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command with `**options` a flag for each of them, after its own parameters.

    The defaults are those of the Python call (`sweep()`, or `resume()`), unless `defaults` names others.
    """

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        plain = inspect.signature(command)
        named = (p for p in plain.parameters.values() if p.name not in options)
        own = [p for p in named if p.kind is not inspect.Parameter.VAR_KEYWORD]
        flags = [
            flag
            for option in options.values()
            if option.flag
            for flag in _flags(option, (defaults or {}).get(option.name, _default(option, resume)), resume)
        ]

        @functools.wraps(command)
        def call(**given: Any) -> None:
            for name in options.keys() & given.keys():
                given[name] = _value(options[name], given[name], given)
            command(**given)

        signature = plain.replace(parameters=[*own, *flags])
        call.__signature__ = signature  # pyright: ignore[reportAttributeAccessIssue] - functools has no type for it
        return call

    return decorated


def flags_of(option: Option) -> tuple[str, ...]:
    """The parameter names of an option; a list that can be switched on has two."""
    return (option.name, _values_name(option)) if option.usual else (option.name,)


def names(text: str) -> list[str]:
    """`sgd, adamw` as a list."""
    return [part.strip() for part in text.split(",") if part.strip()]


def _default(option: Option, resume: bool) -> Any:
    default = option.resume_default if resume else option.call_default
    return None if default == () else default


def _flags(option: Option, default: Any, resume: bool) -> list[inspect.Parameter]:
    """The flag of an option, and for a list that can be switched on a second flag that takes values."""
    text = option.resume.help if resume and option.resume else option.help
    if option.inherited and default is None and not resume:
        text += f"; default: {option.inherited}"
    if option.usual:
        flag, first, later = option.values_flag
        return [
            _parameter(option.name, bool, default, text, None if default else option.dashed),
            _parameter(_values_name(option), str | None, None, later if resume else first, flag),
        ]
    if option.base is bool:  # --no- only where it differs from the default
        kind, spelled = (
            bool if default is not None else bool | None,
            option.dashed if default is False or not option.inherited else None,
        )
        return [_parameter(option.name, kind, default, text, spelled)]
    kind = option.base if option.base in (int, float) and not option.named else str
    return [
        _parameter(option.name, kind if default is not None else kind | None, default, text, option.dashed)
    ]


def _parameter(name: str, kind: Any, default: Any, text: str, spelled: str | None) -> inspect.Parameter:
    more: dict[str, Any] = {"help": escape(text)}  # typer takes help for Rich's markup
    for each in (int, float):
        more |= number(each) if kind in (each, each | None) else {}
    flag = typer.Option(spelled, **more) if spelled else typer.Option(**more)
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, flag]
    )


def number(kind: type[int] | type[float]) -> dict[str, Any]:
    """The arguments of `typer.Option` that read a number: typer's own message does not say what was typed."""

    def read(text: Any) -> int | float:
        try:
            return kind(text)
        except ValueError:
            raise typer.BadParameter(f"{text!r}, must be {KINDS[kind]}") from None

    return {"parser": read, "metavar": f"<{kind.__name__}>"}


def _values_name(option: Option) -> str:
    return option.values_flag[0].removeprefix("--").replace("-", "_")


def _value(option: Option, value: Any, given: dict[str, Any]) -> Any:
    """The value of the call for typed text; removes the second flag of a list from `given`."""
    flag = option.dashed
    if option.usual:
        text = given.pop(_values_name(option), None)
        if text is None:
            return value
        flag, value = option.values_flag[0], text
    if option.item is None:
        return value
    if value is None:
        return option.call_default if option.call_default == () else None
    return names(value) if option.item is str else _numbers(flag, value)


def _numbers(flag: str, text: str) -> list[float]:
    try:
        return [float(part) for part in names(text)]
    except ValueError:
        raise InvalidInput(f"{flag} {text!r}: must be comma-separated numbers, as in 0.5,2") from None
