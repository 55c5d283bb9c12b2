"""Which parts there are, by name: found in their files, without torch."""

import pkgutil
from functools import cache
from importlib import import_module

from ire.methods import bases as folder
from ire.methods.ire import IRE
from ire.methods.part import Base, Part
from ire.methods.sam import SAM
from ire.methods.shared import SHARED
from ire.methods.updates import MICRO, UPDATES


@cache
def bases() -> dict[str, Base]:
    """Every base optimizer that has a name."""
    modules = sorted(module.name for module in pkgutil.iter_modules(folder.__path__))
    found = [import_module(f"{folder.__name__}.{module}").BASE for module in modules]
    return {base.name: base for base in found}


def parts() -> dict[str, Part]:
    """Every part that may have a table in a space file, from the general to the special."""
    updates = [update for update in UPDATES.values() if update.settings]
    return {part.name: part for part in (SHARED, *bases().values(), MICRO, *updates, SAM, IRE)}
