"""The parts by name: included ones are found in their files, others in the entry points of installed packages."""

import pkgutil
from functools import cache
from importlib import import_module

from ire.entry_points import METHODS, registered
from ire.invalid_input import InvalidInput
from ire.methods import bases as folder
from ire.methods.foreign import CLASS, described, read_class
from ire.methods.ire import IRE
from ire.methods.part import Base, Part
from ire.methods.sam import SAM
from ire.methods.shared import SHARED
from ire.methods.updates import MICRO, UPDATES


@cache
def bases() -> dict[str, Base]:
    """Every base optimizer that comes with the package, by name, without torch."""
    modules = sorted(module.name for module in pkgutil.iter_modules(folder.__path__))
    found = [import_module(f"{folder.__name__}.{module}").BASE for module in modules]
    return {base.name: base for base in found}


def base_names() -> tuple[str, ...]:
    """The names of all base optimizers, ours and registered ones."""
    return (*bases(), *(name for name in registered(METHODS) if name not in bases()))


@cache
def base_of(name: str) -> Base:
    """The base optimizer of that name, `module:Class` or `short=module:Class`.

    Raises `InvalidInput` if it cannot be used, and `KeyError` if it does not exist.
    """
    if name in bases():
        return bases()[name]
    if name in registered(METHODS):
        point = registered(METHODS)[name]
        try:
            loaded = point.load()
        except (ImportError, AttributeError) as error:
            raise InvalidInput(
                f"method {name!r}: cannot import {point.value!r}, which {point.dist and point.dist.name} registers "
                f"({error})"
            ) from error
        return (
            loaded
            if isinstance(loaded, Base)
            else described(loaded, base_of, name=name, constructor=point.value)
        )
    if CLASS.fullmatch(name):
        return read_class(name, base_of)
    raise KeyError(name)


def parts() -> dict[str, Part]:
    """Every included part that may have a table in a space file, from the general to the special."""
    updates = [update for update in UPDATES.values() if update.settings]
    return {part.name: part for part in (SHARED, *bases().values(), MICRO, *updates, SAM, IRE)}


def part_of(table: str) -> Part | None:
    """The part whose table in a space file has that name; None if no part has it.

    Raises `InvalidInput` for a class that cannot be read.
    """
    if table in parts():
        return parts()[table]
    try:
        return base_of(table)
    except KeyError:
        return None
