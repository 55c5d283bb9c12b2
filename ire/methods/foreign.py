"""Any optimizer class as a base: its settings are read from the constructor's signature.

A class may say more about itself in one attribute, a dictionary with any of the keys of `ABOUT`:

    class Mine(torch.optim.Optimizer):
        ire_method = {
            "words": "what it is",
            "settings": {"beta1": {"low": 0.5, "search": {"linear": [0.8, 0.99], "published": 0.9}}},
            "fixed": {"foreach": True},
            "gradients": 2,
        }
"""

import inspect
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from importlib import import_module
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any

from ire.invalid_input import GUARD, OF_NO_OTHER, InvalidInput, exited, unknown
from ire.methods.ire import IRE
from ire.methods.part import KINDS, Base
from ire.methods.rest import as_rest
from ire.methods.sam import SAM
from ire.methods.setting import Setting
from ire.methods.shared import SHARED
from ire.methods.updates import MICRO
from ire.plain_values import is_list, is_mapping, is_number, is_tuple

CLASS = re.compile(r"(?:(?P<short>[A-Za-z]\w*)=)?(?P<module>[A-Za-z_][\w.]*):(?P<name>[A-Za-z_]\w*)")
"""`module:Class`, or `short=module:Class`."""

ATTRIBUTE = "ire_method"
ABOUT = {
    "words": "a few words for lists",
    "settings": "by setting: doc, low, high, low_open, high_open, type, default, and what is searched (search)",
    "fixed": "constructor arguments that are not settings",
    "gradients": "gradients of a full batch that a step costs",
    "schedules": "the schedules that make sense, the usual one first",
    "takes": f"kinds of parameters that it trains: {', '.join(KINDS)}",
    "rest": "the method that trains the others, such as 'adamw'; its settings begin with rest_",
    "rates": "further learning rates in its groups that follow the schedule, and the setting of their peak",
    "refuses": "why 'sam' or 'ire' cannot be put around it",
    "state_tensors": "tensors of a parameter's size that it keeps",
    "source": "where its published settings come from",
}
FORMS: dict[str, tuple[Callable[[Any], bool], str]] = {
    **dict.fromkeys(("words", "rest", "source"), (lambda it: isinstance(it, str), "a text")),
    **dict.fromkeys(("settings", "fixed"), (is_mapping, "a dictionary")),
    **dict.fromkeys(
        ("rates", "refuses"),
        (lambda it: is_mapping(it) and all(isinstance(i, str) for i in it.values()), "a dictionary of texts"),
    ),
    **dict.fromkeys(("schedules", "takes"), (lambda it: is_list(it) or is_tuple(it), "a list of texts")),
    "gradients": (lambda it: is_number(it) and isinstance(it, int) and it >= 1, "an integer of at least 1"),
    "state_tensors": (lambda it: is_number(it) and it >= 0, "a number of at least 0"),
    "doc": (lambda it: isinstance(it, str), "a text"),
    "type": (lambda it: it in (int, float, bool), "int, float or bool"),
    **dict.fromkeys(("low", "high"), (is_number, "a number")),
    **dict.fromkeys(("low_open", "high_open"), (lambda it: isinstance(it, bool), "True or False")),
}
"""What the values of `ABOUT`, and of its settings, have to be."""
LR_DECADES = 1.0
"""Without a table in the space file, lr is searched this far below and above its default, in powers of ten."""

KNOWN = {
    "lr": {"low": 0, "low_open": True},
    "weight_decay": {"low": 0},
    "eps": {"low": 0, "low_open": True},
    "momentum": {"low": 0, "high": 1, "high_open": True},
    "dampening": {"low": 0, "high": 1},
}
"""The usual intervals of these arguments; the entries of `betas` have that of `momentum`."""
TAKEN = {*SHARED.settings, *SHARED.options, *SAM.settings, *IRE.settings, *MICRO.settings, "lambda"} - {
    "lr",
    "weight_decay",
}
"""Names that mean something else here: the `gamma` of MARS is not IRE's."""
OWN = "own_"
"""Prefix of the setting for an argument with such a name: `own_gamma`."""
IMPLEMENTATION = ("foreach", "maximize", "capturable", "differentiable", "fused")
"""Arguments that affect only how a step is computed; they stay at their default."""


SHORT = re.compile(r"\b([A-Za-z]\w*)=[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def shortened(text: str) -> str:
    """A method's name, or a sentence with such names, with short names only: `mine` for `mine=my_pkg:Mine`."""
    return SHORT.sub(r"\1", text) if "=" in text else text


def read_class(name: str, named: Callable[[str], Base]) -> Base:
    """The base that `module:Class` or `short=module:Class` names; raises `InvalidInput`.

    `named` finds another base by its name, or raises `KeyError`.
    """
    found = CLASS.fullmatch(name)
    assert found is not None, name
    if found["module"] == "__main__":
        raise InvalidInput(f"method {name!r}: {OF_NO_OTHER.format(found['name'])}")
    if PathFinder.find_spec(found["module"].partition(".")[0]) is None:
        find_in([os.getcwd()])  # as with `python -m`; a console script does not add it
    try:
        module = import_module(found["module"])
    except ImportError as error:
        raise InvalidInput(f"method {name!r}: cannot import {found['module']!r} ({error})") from error
    except SystemExit as end:
        raise exited(f"method {name!r}: the import of {found['module']!r}", end, remedy=GUARD) from end
    loaded = getattr(module, found["name"], None)
    if loaded is None and found["module"] == "torch":  # torch:NAdam
        return read_class(name.replace("torch:", "torch.optim:"), named)
    if loaded is None:
        raise unknown("optimizer class", found["name"], _optimizers(module), where=found["module"])
    return described(loaded, named, name=name, constructor=f"{found['module']}:{found['name']}")


def find_in(folders: Iterable[str]) -> None:
    """Add these folders to those that Python searches for modules."""
    sys.path.extend(folder for folder in folders if folder not in sys.path)


def described(loaded: Any, named: Callable[[str], Base], *, name: str, constructor: str) -> Base:
    """The base for an optimizer class, from its signature and its `ire_method`; raises `InvalidInput`."""
    from torch.optim import Optimizer  # only here: our own names are checked without torch

    if not (isinstance(loaded, type) and issubclass(loaded, Optimizer)):
        raise InvalidInput(
            f"method {name!r}: {constructor} is not a class derived from torch.optim.Optimizer"
        )
    about = _about(loaded, name)
    fixed = dict(about.get("fixed", {}))
    settings: dict[str, Setting] = {}
    arguments: dict[str, str | tuple[str | float, ...]] = {}
    found: dict[str, str] = {}
    unread: dict[str, str] = {}
    missing: list[str] = []
    signature = inspect.signature(loaded)
    names = list(signature.parameters)[1:]  # the first takes the parameters
    accepts_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    for key in fixed:
        if key not in names and not accepts_any:
            raise unknown(
                f"constructor argument of {constructor}", key, names, where=f"its {ATTRIBUTE}, fixed"
            )
    for argument in names:
        parameter = signature.parameters[argument]
        if argument in fixed or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            continue
        if argument in IMPLEMENTATION:
            continue
        read = _settings_of(argument, parameter)
        if not isinstance(read, str):
            read = {OWN + name if name in TAKEN else name: setting for name, setting in read.items()}
        if isinstance(read, str):
            if parameter.default is parameter.empty and argument != "lr":
                missing.append(argument)
            elif argument != "lr":
                unread[argument] = read
            continue
        settings |= read
        found |= dict.fromkeys(read, f"default of {argument}")
        if list(read) != [argument]:
            is_tuple = isinstance(parameter.default, tuple | list)
            arguments[argument] = tuple(read) if is_tuple else next(iter(read))
    if missing:
        raise InvalidInput(
            f"method {name!r}: {constructor} needs {', '.join(missing)} without a default; give defaults, or set in "
            f'the class {ATTRIBUTE} = {{"fixed": {{"{missing[0]}": ...}}}}'
        )
    if "lr" not in names:
        raise InvalidInput(
            f"method {name!r}: {constructor} takes no lr, which the schedule sets; name it among the constructor's "
            "arguments, as in lr=1e-3"
        )
    try:
        inspect.signature(loaded.step).bind(None, None)
    except TypeError:
        raise InvalidInput(
            f"method {name!r}: {constructor}.step takes no closure; begin it with `def step(self, closure=None)`, and "
            "evaluate the closure first if there is one"
        ) from None
    base = Base(
        name=name,
        words=about.get("words") or f"{constructor}",
        constructor=constructor,
        fixed=fixed,
        arguments=arguments,
        lacks=() if "weight_decay" in settings else ("weight_decay", "decay"),
        settings={"lr": SHARED.settings["lr"]} | settings,
        found=found,
        unread=unread,
    )
    base = _with(base, about, named)
    return replace(base, searched=_searched(base, about))


def _about(loaded: type, name: str) -> dict[str, Any]:
    about: Any = getattr(loaded, ATTRIBUTE, {})
    place = f"{ATTRIBUTE} of {name}"
    if not is_mapping(about):
        raise InvalidInput(f"{place} = {about!r}: must be a dictionary")
    for key in about:
        if key not in ABOUT:
            raise unknown("key", key, ABOUT, where=place)
    _check_forms(about, place)
    for kind in about.get("takes", ()):
        if kind not in KINDS:
            raise unknown("kind of parameters", kind, KINDS, where=f"{place}, takes")
    for wrapper in about.get("refuses", {}):
        if wrapper not in ("sam", "ire"):
            raise unknown("key", wrapper, ("sam", "ire"), where=f"{place}, refuses")
    for schedule in about.get("schedules", ()):
        SHARED.options["schedule"].check("schedule", schedule, where=place)
    return dict(about)


def _check_forms(values: Mapping[str, Any], place: str) -> None:
    """Raise `InvalidInput` unless the values are what `FORMS` says."""
    for key, value in values.items():
        has_form, form = FORMS.get(key, (lambda _: True, ""))
        if not has_form(value):
            raise InvalidInput(f"{key} = {value!r} in {place}: must be {form}")


def _settings_of(argument: str, parameter: inspect.Parameter) -> dict[str, Setting] | str:
    """The settings for one constructor argument, or why it is not a setting."""
    default, annotation = parameter.default, str(parameter.annotation)
    if default is parameter.empty:
        return "it has no default"
    if isinstance(default, bool):
        return {argument: Setting(doc=f"{argument}, as in the class", default=default, type=bool)}
    if isinstance(default, int | float):
        whole = isinstance(default, int) and "float" not in annotation and argument not in KNOWN
        interval = KNOWN.get(argument, {})
        value = int(default) if whole else float(default)
        inside = _setting(argument, value, int if whole else float, interval)
        return {argument: inside}
    if (is_tuple(default) or is_list(default)) and default and all(is_number(value) for value in default):
        stem = argument.removesuffix("s")
        interval = KNOWN["momentum"] if stem == "beta" else {}
        return {
            f"{stem}{place}": _setting(f"{argument}, number {place}", float(value), float, interval)
            for place, value in enumerate(default, start=1)
        }
    if isinstance(default, str):
        return f"a string, fixed at {default!r}"
    return f"its default {default!r} is not a number"


def _setting(what: str, default: float, kind: type, interval: Mapping[str, Any]) -> Setting:
    setting = Setting(doc=f"{what}, as in the class", default=default, type=kind, **interval)
    try:
        setting.check(what, default)
    except InvalidInput:  # the class uses the name for something else
        return replace(setting, low=-float("inf"), high=float("inf"), low_open=False, high_open=False)
    return setting


def _with(base: Base, about: Mapping[str, Any], named: Callable[[str], Base]) -> Base:
    """The base, changed as the `ire_method` of its class says."""
    place = f"{ATTRIBUTE} of {base.name}"
    settings, found = dict(base.settings), dict(base.found)
    for name, entry in about.get("settings", {}).items():
        if name not in settings:
            raise unknown(f"setting of {base.constructor}", name, settings, where=f"{place}, settings")
        if not is_mapping(entry):
            raise InvalidInput(f"{name} = {entry!r} in {place}, settings: must be a dictionary")
        _check_forms(entry, f"{place}, settings, {name}")
        fields = {key: value for key, value in entry.items() if key != "search"}
        allowed = ("doc", "low", "high", "low_open", "high_open", "type", "default", "search")
        for key in fields:
            if key not in allowed:
                raise unknown("key", key, allowed, where=f"{place}, settings, {name}")
        settings[name] = replace(settings[name], **fields)
        if settings[name].default is not None:
            settings[name].check(name, settings[name].default, where=place)
        found[name] = f"{found.get(name, 'lr')}; {ATTRIBUTE}"
    if "lr" in settings and "lr" not in about.get("settings", {}) and settings["lr"].default is None:
        settings["lr"] = SHARED.settings["lr"]
    rest = None
    if "rest" in about:
        try:
            rest = as_rest(named(about["rest"]))
        except KeyError:
            known = ("adamw", "sgd", "module:Class")
            raise unknown("method", about["rest"], known, where=f"{place}, rest") from None
        settings |= rest.settings
    for setting in about.get("rates", {}).values():
        if setting not in settings:
            raise unknown(f"setting of {base.constructor}", setting, settings, where=f"{place}, rates")
    plain = ("gradients", "takes", "rates", "refuses", "state_tensors", "source")
    given = {key: about[key] for key in plain if key in about}
    if "schedules" in about:
        given["schedules"] = tuple(about["schedules"])
    if "takes" in about:
        given["takes"] = tuple(about["takes"])
    return replace(base, settings=settings, found=found, rest=rest, **given)


def _searched(base: Base, about: Mapping[str, Any]) -> dict[str, Any]:
    """What is searched without a table in the space file."""
    searched = {
        name: entry["search"] for name, entry in about.get("settings", {}).items() if "search" in entry
    }
    lr = base.settings["lr"].default
    if "lr" not in searched and lr:
        searched["lr"] = around(float(lr))
    return searched


def around(lr: float) -> dict[str, Any]:
    """`LR_DECADES` on each side of a learning rate, in the words of a space file."""
    return {"log": [lr / 10**LR_DECADES, lr * 10**LR_DECADES], "published": lr}


def _optimizers(module: ModuleType) -> list[str]:
    from torch.optim import Optimizer  # only here: our own names are checked without torch

    return [
        key for key, value in vars(module).items() if isinstance(value, type) and issubclass(value, Optimizer)
    ]
