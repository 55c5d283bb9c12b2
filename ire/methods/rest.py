"""The base for the parameters that another base leaves out; its settings are called `rest_...`."""

from dataclasses import replace
from typing import Any

from ire.methods.part import Base
from ire.methods.shared import SHARED


def as_rest(base: Base, **defaults: Any) -> Base:
    """`base` for the parameters that another base leaves out, its settings renamed to `rest_...`."""
    names = ["lr", *(name for name in base.settings if name != "lr")]
    arguments = {
        argument: f"rest_{source}" if isinstance(source, str) else tuple(f"rest_{name}" for name in source)
        for argument, source in base.arguments.items()
    }
    composed = {
        name
        for source in base.arguments.values()
        for name in ([source] if isinstance(source, str) else source)
    }
    arguments |= {name: f"rest_{name}" for name in names if name not in composed and name not in arguments}
    settings = {
        f"rest_{name}": replace(
            base.settings.get(name, SHARED.settings["lr"]),
            doc=f"{base.settings.get(name, SHARED.settings['lr']).doc}, of {base.words} for the other parameters",
            default=defaults.get(name, base.settings[name].default if name in base.settings else 1e-3),
        )
        for name in names
    }
    return replace(base, settings=settings, arguments=arguments, options={})
